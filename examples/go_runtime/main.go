// A model runtime in Go: serves one model as clipper.model.v1.ModelService, and registers it with a cluster.
//
//	go run . -manager 127.0.0.1:7001 -name root -version 1
//	clipperctl runtime check ADDRESS --failing-input '[-1]'
//
// model.go is the model: the only file that you change for one of your own. service.go serves it, lease.go keeps it
// registered. Start another process for each replica.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	modelv1 "github.com/clipper-serve/clipper/services/gateway/gen/clipper/model/v1"
)

// What frontends may send at once. gRPC's own limit is 4 MiB.
const maxMessageBytes = 64 << 20

type settings struct {
	name, version     string
	listen, advertise string
	manager           string
	grace             time.Duration
	readyFD           int
}

func main() {
	var s settings
	flag.StringVar(&s.name, "name", "root", "the model's name")
	flag.StringVar(&s.version, "version", "1", "its version")
	flag.StringVar(&s.listen, "listen", "127.0.0.1:0", "where to serve; port 0 is a free one")
	flag.StringVar(&s.advertise, "advertise", "", "where frontends reach it (default: where it listens)")
	flag.StringVar(&s.manager, "manager", "127.0.0.1:7001", "the manager to register with; \"none\" for none")
	flag.DurationVar(&s.grace, "grace", 10*time.Second, "how long calls under way may take when it is stopped")
	flag.IntVar(&s.readyFD, "ready-fd", -1, "a descriptor that is told the address, as JSON, once it serves")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then stops in the order in which nobody is hurt: health says so, frontends are told,
// calls under way are answered.
func run(ctx context.Context, s settings) error {
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	if s.advertise == "" {
		s.advertise = address
	}

	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	modelv1.RegisterModelServiceServer(server, &service{name: s.name, version: s.version, predict: predict})
	checks := health.NewServer()
	healthpb.RegisterHealthServer(server, checks)
	checks.SetServingStatus(modelv1.ModelService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := tell(s.readyFD, address); err != nil {
		return err
	}
	slog.Info("serving", "model", s.name, "version", s.version, "address", address)

	registered := make(chan struct{})
	leaseCtx, giveBack := context.WithCancel(context.Background())
	go func() {
		defer close(registered)
		if s.manager != "none" {
			keepRegistered(leaseCtx, s)
		}
	}()

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	checks.Shutdown()
	giveBack()
	<-registered
	force := time.AfterFunc(s.grace, server.Stop)
	defer force.Stop()
	server.GracefulStop()
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// tell writes the address to a descriptor that whoever started the process waits at.
func tell(fd int, address string) error {
	if fd < 0 {
		return nil
	}
	file := os.NewFile(uintptr(fd), "ready")
	defer file.Close()
	return json.NewEncoder(file).Encode(map[string]any{"address": address, "pid": os.Getpid()})
}
