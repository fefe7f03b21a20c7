"""What every gRPC process of Clipper shares.

In reading order:

errors             the domain errors: codes, reasons, texts
transport          the seam: raw handlers served, raw calls made
status             errors to statuses on the wire and back
grpcio_transport   the seam on grpc.aio, with grpcio_server and grpcio_channel
native_transport   the seam on the native extension (services/rpc/native), which _native.pyi describes
choose             which transport runs
services           typed coroutines on the raw seam, for control planes
health, reflection the standard services, on any transport
probe              asks a server whether it serves; for containers
lifecycle          signals, stopping, the event loop
logs               JSON lines
telemetry          metrics and traces
"""
