// Command wiretest calls a server of bytes with grpc-go, in the ways that are its cases, and fails with what was wrong.
// tests/integration/test_transport_go.py serves it on each of Clipper's transports.
//
//	wiretest --server 127.0.0.1:7000 --case gzip_response
//	wiretest --serve 1s
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

const (
	echo   = "/test.Echo/Echo"   // answers what it is asked
	hold   = "/test.Echo/Hold"   // answers when the test wants it
	fail   = "/test.Echo/Fail"   // fails with NO_REPLICA
	meta   = "/test.Echo/Meta"   // answers metadata with metadata
	stream = "/test.Echo/Stream" // answers each request before the next
	count  = "/test.Echo/Count"  // answers a number with all below it
	total  = "/test.Echo/Total"  // answers how many bytes it was sent
	pour   = "/test.Echo/Pour"   // answers with 500 times 100 kB
)

// raw carries bytes as they are.
type raw struct{}

func (raw) Name() string                       { return "proto" }
func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }

// A client is one connection and what was seen on it.
type client struct {
	*grpc.ClientConn
	// typed is another connection, for messages that are not only bytes.
	typed *grpc.ClientConn
	// packed counts the responses that came compressed.
	packed atomic.Int64
}

func (c *client) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (c *client) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (c *client) HandleConn(context.Context, stats.ConnStats)                       {}
func (c *client) HandleRPC(_ context.Context, seen stats.RPCStats) {
	if in, ok := seen.(*stats.InPayload); ok && in.CompressedLength < in.Length {
		c.packed.Add(1)
	}
}

func (c *client) ask(ctx context.Context, method string, payload []byte, options ...grpc.CallOption) ([]byte, error) {
	var reply []byte
	err := c.Invoke(ctx, method, &payload, &reply, options...)
	return reply, err
}

// echoes asks for an echo and says whether it was one.
func (c *client) echoes(ctx context.Context, payload []byte, options ...grpc.CallOption) error {
	reply, err := c.ask(ctx, echo, payload, options...)
	if err != nil {
		return fmt.Errorf("%d bytes: %w", len(payload), err)
	}
	if !bytes.Equal(reply, payload) {
		return fmt.Errorf("%d bytes came back for %d", len(reply), len(payload))
	}
	return nil
}

func (c *client) open(ctx context.Context, method string) (grpc.ClientStream, error) {
	return c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
}

// ask1 opens a stream for one request.
func (c *client) ask1(ctx context.Context, method string, payload []byte) (grpc.ClientStream, error) {
	talk, err := c.open(ctx, method)
	if err != nil {
		return nil, err
	}
	return talk, errors.Join(talk.SendMsg(&payload), talk.CloseSend())
}

// ends says whether a stream is over, and well.
func ends(talk grpc.ClientStream) error {
	var got []byte
	if err := talk.RecvMsg(&got); !errors.Is(err, io.EOF) {
		return fmt.Errorf("not the end: %w", err)
	}
	return nil
}

// fails says whether an error has the code.
func fails(err error, want codes.Code) error {
	if got := status.Code(err); got != want {
		return fmt.Errorf("%v instead of %v: %w", got, want, err)
	}
	return nil
}

func zeros(size int) []byte { return make([]byte, size) }

var cases = map[string]func(context.Context, *client) error{
	"payloads_of_any_size": func(ctx context.Context, c *client) error {
		for _, size := range []int{0, 1, 16_384, 65_536, 1_000_000, 10_000_000} {
			if err := c.echoes(ctx, zeros(size), grpc.MaxCallRecvMsgSize(20_000_000)); err != nil {
				return err
			}
		}
		return nil
	},
	"many_at_once": func(ctx context.Context, c *client) error {
		var wait sync.WaitGroup
		failed := make(chan error, 500)
		for number := range 500 {
			wait.Go(func() { failed <- c.echoes(ctx, []byte(strconv.Itoa(number))) })
		}
		wait.Wait()
		close(failed)
		var all []error
		for err := range failed {
			all = append(all, err)
		}
		return errors.Join(all...)
	},
	"gzip_request": func(ctx context.Context, c *client) error {
		return c.echoes(ctx, zeros(100_000), grpc.UseCompressor(gzip.Name))
	},
	"gzip_response": func(ctx context.Context, c *client) error {
		if err := c.echoes(ctx, zeros(100_000)); err != nil || c.packed.Load() != 1 {
			return fmt.Errorf("%d responses were compressed: %w", c.packed.Load(), err)
		}
		if err := c.echoes(ctx, zeros(100)); err != nil || c.packed.Load() != 1 {
			return fmt.Errorf("a short response was compressed: %w", err)
		}
		return nil
	},
	"metadata": func(ctx context.Context, c *client) error {
		ctx = metadata.AppendToOutgoingContext(ctx, "a", "1", "a", "2", "raw-bin", "\x00\xff")
		var head, trailer metadata.MD
		if _, err := c.ask(ctx, meta, nil, grpc.Header(&head), grpc.Trailer(&trailer)); err != nil {
			return err
		}
		for where, got := range map[string]metadata.MD{"initial": head, "trailing": trailer} {
			if !slices.Equal(got.Get("a"), []string{"1", "2"}) || !slices.Equal(got.Get("raw-bin"), []string{"\x00\xff"}) {
				return fmt.Errorf("%s metadata: %v", where, got)
			}
		}
		return nil
	},
	"error_with_details": func(ctx context.Context, c *client) error {
		_, err := c.ask(ctx, fail, nil)
		if wrong := fails(err, codes.Unavailable); wrong != nil {
			return wrong
		}
		for _, detail := range status.Convert(err).Details() {
			if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() == "NO_REPLICA" {
				return nil
			}
		}
		return fmt.Errorf("no reason in %v", status.Convert(err).Details())
	},
	"unknown_method": func(ctx context.Context, c *client) error {
		_, err := c.ask(ctx, "/test.Echo/Nothing", nil)
		return fails(err, codes.Unimplemented)
	},
	"too_large": func(ctx context.Context, c *client) error {
		if err := fails(c.echoes(ctx, zeros(30_000_000)), codes.ResourceExhausted); err != nil {
			return err
		}
		return c.echoes(ctx, zeros(1000))
	},
	"deadline": func(ctx context.Context, c *client) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		_, err := c.ask(ctx, hold, nil)
		return fails(err, codes.DeadlineExceeded)
	},
	"cancel": func(ctx context.Context, c *client) error {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(200*time.Millisecond, cancel)
		_, err := c.ask(ctx, hold, nil)
		return fails(err, codes.Canceled)
	},
	"both_ways": func(ctx context.Context, c *client) error {
		talk, err := c.open(ctx, stream)
		if err != nil {
			return err
		}
		for number := range 200 {
			sent, got := []byte(strconv.Itoa(number)), []byte(nil)
			if err := errors.Join(talk.SendMsg(&sent), talk.RecvMsg(&got)); err != nil || !bytes.Equal(sent, got) {
				return fmt.Errorf("%q for %q: %w", got, sent, err)
			}
		}
		return errors.Join(talk.CloseSend(), ends(talk))
	},
	"many_responses_to_one_request": func(ctx context.Context, c *client) error {
		talk, err := c.ask1(ctx, count, []byte("1000"))
		if err != nil {
			return err
		}
		for number := range 1000 {
			var got []byte
			if err := talk.RecvMsg(&got); err != nil || string(got) != strconv.Itoa(number) {
				return fmt.Errorf("%q instead of %d: %w", got, number, err)
			}
		}
		return ends(talk)
	},
	"one_response_to_many_requests": func(ctx context.Context, c *client) error {
		talk, err := c.open(ctx, total)
		if err != nil {
			return err
		}
		for _, size := range []int{0, 1, 100_000, 1_000_000} {
			payload := zeros(size)
			if err := talk.SendMsg(&payload); err != nil {
				return err
			}
		}
		var got []byte
		if err := errors.Join(talk.CloseSend(), talk.RecvMsg(&got)); err != nil || string(got) != "1100001" {
			return fmt.Errorf("%q: %w", got, err)
		}
		return ends(talk)
	},
	// What nobody reads stays with the server, and holds back no other call.
	"slow_reader": func(ctx context.Context, c *client) error {
		talk, err := c.ask1(ctx, pour, nil)
		if err != nil {
			return err
		}
		var got []byte
		if err := talk.RecvMsg(&got); err != nil {
			return err
		}
		for range 20 {
			if err := c.echoes(ctx, zeros(100_000)); err != nil {
				return err
			}
		}
		for range 499 {
			if err := talk.RecvMsg(&got); err != nil || len(got) != 100_000 {
				return fmt.Errorf("%d bytes: %w", len(got), err)
			}
		}
		return ends(talk)
	},
	// The server takes two calls of a connection at a time.
	"more_calls_than_may_run": func(ctx context.Context, c *client) error {
		if err := c.echoes(ctx, nil); err != nil { // the limit is known from here on
			return err
		}
		failed := make(chan error, 5)
		for range 5 {
			go func() {
				_, err := c.ask(ctx, hold, nil)
				failed <- err
			}()
		}
		var all []error
		for range 5 {
			all = append(all, <-failed)
		}
		return errors.Join(all...)
	},
	"health_and_reflection": func(ctx context.Context, c *client) error {
		health := grpc_health_v1.NewHealthClient(c.typed)
		got, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "test.Echo"})
		if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			return fmt.Errorf("health: %v: %w", got, err)
		}
		v1, err := reflectionv1.NewServerReflectionClient(c.typed).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		asked := &reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
		}
		if err := v1.Send(asked); err != nil {
			return err
		}
		listed, err := v1.Recv()
		if err != nil || len(listed.GetListServicesResponse().GetService()) == 0 {
			return fmt.Errorf("reflection: %v: %w", listed, err)
		}
		v1alpha, err := reflectionv1alpha.NewServerReflectionClient(c.typed).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		askedAlpha := &reflectionv1alpha.ServerReflectionRequest{
			MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{},
		}
		if err := v1alpha.Send(askedAlpha); err != nil {
			return err
		}
		listedAlpha, err := v1alpha.Recv()
		if err != nil || len(listedAlpha.GetListServicesResponse().GetService()) == 0 {
			return fmt.Errorf("reflection of old: %v: %w", listedAlpha, err)
		}
		return errors.Join(v1.CloseSend(), v1alpha.CloseSend())
	},
	"cancel_a_stream": func(ctx context.Context, c *client) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		talk, err := c.open(ctx, stream)
		if err != nil {
			return err
		}
		sent, got := []byte("x"), []byte(nil)
		if err := errors.Join(talk.SendMsg(&sent), talk.RecvMsg(&got)); err != nil {
			return err
		}
		cancel()
		return fails(talk.RecvMsg(&got), codes.Canceled)
	},
	// The server asks this client now and then whether it is there.
	"pinged_while_it_waits": func(ctx context.Context, c *client) error {
		_, err := c.ask(ctx, hold, nil)
		return err
	},
	// The server ends each connection after a while.
	"old_connections": func(ctx context.Context, c *client) error {
		for until := time.Now().Add(500 * time.Millisecond); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
			if err := c.echoes(ctx, []byte("x")); err != nil {
				return err
			}
		}
		return nil
	},
	// The server stops while this call is held, and answers it then.
	"drain": func(ctx context.Context, c *client) error {
		if _, err := c.ask(ctx, hold, nil); err != nil {
			return fmt.Errorf("the running call: %w", err)
		}
		return fails(c.echoes(ctx, []byte("x")), codes.Unavailable)
	},
}

// secured says who vouches for the server, and shows a certificate if there is one.
func secured(roots, identity string) (credentials.TransportCredentials, error) {
	if roots == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{RootCAs: x509.NewCertPool()}
	settings.RootCAs.AppendCertsFromPEM(pem)
	if identity != "" {
		shown, err := tls.LoadX509KeyPair(identity, identity)
		if err != nil {
			return nil, err
		}
		settings.Certificates = []tls.Certificate{shown}
	}
	return credentials.NewTLS(settings), nil
}

func run(server, name, roots, identity string) error {
	test, known := cases[name]
	if !known {
		return fmt.Errorf("there is no case %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(cases)), ", "))
	}
	encryption, err := secured(roots, identity)
	if err != nil {
		return err
	}
	c := &client{}
	c.ClientConn, err = grpc.NewClient(server,
		grpc.WithTransportCredentials(encryption),
		grpc.WithStatsHandler(c),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
	)
	if err != nil {
		return err
	}
	if c.typed, err = grpc.NewClient(server, grpc.WithTransportCredentials(encryption)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(test(ctx, c), c.Close(), c.typed.Close())
}

// serve answers every call with what it was asked, after a while; it is as strict as grpc-go is by default.
func serve(wait time.Duration) error {
	encoding.RegisterCodec(raw{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, talk grpc.ServerStream) error {
		var payload []byte
		if err := talk.RecvMsg(&payload); err != nil {
			return err
		}
		time.Sleep(wait)
		return talk.SendMsg(&payload)
	})).Serve(listener)
}

func main() {
	wait := flag.Duration("serve", 0, "be a server instead, which prints its port and answers after so long")
	server := flag.String("server", "127.0.0.1:7000", "the server, HOST:PORT or unix:PATH")
	name := flag.String("case", "", "what to try")
	roots := flag.String("roots", "", "a file with certificates that vouch for the server; empty talks plain text")
	identity := flag.String("identity", "", "a file with this client's certificate and key")
	flag.Parse()
	if *wait > 0 {
		fmt.Println(serve(*wait))
		os.Exit(1)
	}
	if err := run(*server, *name, *roots, *identity); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
