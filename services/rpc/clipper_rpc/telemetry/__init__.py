"""What a process tells of itself: metrics, and traces.

In reading order:

tally      counting in plain Python: histograms, and a bounded set of slots per label
families   what is told: named families of samples, as values
meter      rates
calls      calls to a control plane, counted
export     families as OpenTelemetry's data, and from there as Prometheus text
endpoint   the text over HTTP
siblings   several processes tell as one
context    what a call brings along: a request id, a trace
tracing    spans, where they are asked for
forks      what OpenTelemetry must not do in a forked child

Counting happens on the way of a query, so it costs an addition or two; all that OpenTelemetry does happens when
somebody looks, in a thread.
"""
