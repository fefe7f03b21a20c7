// Package upstream holds the gRPC connections to the processes behind the gateway.
//
// Connections are made again by themselves, at most a second after the other side is back; until then calls fail at
// once as UNAVAILABLE instead of waiting. A process that reports NOT_SERVING over grpc.health.v1 gets no calls.
package upstream

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets connections watch health, as serviceConfig asks
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

const serviceConfig = `{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}`

// The windows are fixed: measuring them costs a ping per burst, and both ends are near each other.
const (
	streamWindowBytes     = 1 << 20
	connectionWindowBytes = 16 << 20
)

// Options are the limits of a Pool.
type Options struct {
	// Connections is how many connections each address gets; at least 1.
	Connections int
	// MaxMessageBytes is the largest message, each way.
	MaxMessageBytes int
	// UserAgent names this process.
	UserAgent string
}

// A Pool spreads calls over connections to one kind of process. It is a grpc.ClientConnInterface.
type Pool struct {
	process     string
	addresses   string
	connections []*grpc.ClientConn
	next        atomic.Uint32
}

// Dial makes a pool. addresses is host:port, or several with commas between; a name with several IP addresses stands for
// all of them. process names the other side in errors. It does not wait for a connection.
func Dial(process, addresses string, options Options) (*Pool, error) {
	pool := &Pool{process: process, addresses: addresses}
	for range max(1, options.Connections) {
		connection, err := dial(addresses, options)
		if err != nil {
			_ = pool.Close()
			return nil, fmt.Errorf("%s %s: %w", process, addresses, err)
		}
		connection.Connect()
		pool.connections = append(pool.connections, connection)
	}
	return pool, nil
}

func dial(addresses string, options Options) (*grpc.ClientConn, error) {
	dialOptions := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDisableServiceConfig(), // none from DNS
		grpc.WithUserAgent(options.UserAgent),
		grpc.WithIdleTimeout(0),
		grpc.WithInitialWindowSize(streamWindowBytes),
		grpc.WithInitialConnWindowSize(connectionWindowBytes),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(options.MaxMessageBytes), grpc.MaxCallSendMsgSize(options.MaxMessageBytes),
		),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	}
	target := "dns:///" + addresses
	if several := strings.Split(addresses, ","); len(several) > 1 {
		builder := manual.NewBuilderWithScheme("clipper")
		var state resolver.State
		for _, address := range several {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: strings.TrimSpace(address)})
		}
		builder.InitialState(state)
		dialOptions = append(dialOptions, grpc.WithResolvers(builder))
		target = "clipper:///" + addresses
	}
	return grpc.NewClient(target, dialOptions...)
}

// Invoke makes a unary call.
func (p *Pool) Invoke(ctx context.Context, method string, request, response any, options ...grpc.CallOption) error {
	return p.named(p.connection().Invoke(ctx, method, request, response, options...))
}

// NewStream starts a streaming call.
func (p *Pool) NewStream(
	ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := p.connection().NewStream(ctx, description, method, options...)
	return stream, p.named(err)
}

// connection picks the next one that is up, or the next one where none is.
func (p *Pool) connection() *grpc.ClientConn {
	first, count := p.next.Add(1), uint32(len(p.connections))
	for i := range count {
		if connection := p.connections[(first+i)%count]; connection.GetState() == connectivity.Ready {
			return connection
		}
	}
	return p.connections[first%count]
}

// named says who could not be reached, where gRPC's own error does not.
func (p *Pool) named(err error) error {
	if err == nil {
		return nil
	}
	if s := status.Convert(err); s.Code() == codes.Unavailable && len(s.Details()) == 0 {
		return status.Errorf(codes.Unavailable, "The %s at %s cannot be reached: %s", p.process, p.addresses, s.Message())
	}
	return err
}

// Check returns nil if the other side is up and reports that it serves.
func (p *Pool) Check(ctx context.Context) error {
	response, err := healthpb.NewHealthClient(p).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if response.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return status.Errorf(codes.Unavailable, "The %s at %s reports %v", p.process, p.addresses, response.GetStatus())
	}
	return nil
}

// Close ends the connections; calls under way end as CANCELLED.
func (p *Pool) Close() error {
	for _, connection := range p.connections {
		_ = connection.Close() // fails only when it is closed already
	}
	return nil
}
