package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	registryv1 "github.com/clipper-serve/clipper/services/gateway/gen/clipper/registry/v1"
)

const (
	callTimeout = 5 * time.Second
	firstPause  = 100 * time.Millisecond
	lastPause   = 2 * time.Second
)

// keepRegistered registers the replica and renews its lease after each third of it, until ctx ends; then it gives the
// lease back, so that frontends send nothing more. It never gives up: while no manager answers, predictions go on.
func keepRegistered(ctx context.Context, s settings) {
	connection, err := grpc.NewClient(s.manager, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		slog.Error("registering is not possible", "manager", s.manager, "problem", err)
		return
	}
	defer connection.Close()
	registry := registryv1.NewRegistryServiceClient(connection)
	lease := ""
	pause := firstPause
	for ctx.Err() == nil {
		next, wait, err := step(ctx, registry, s, lease)
		lease = next
		if err != nil {
			slog.Warn("registering failed", "manager", s.manager, "problem", err)
			wait, pause = pause, min(2*pause, lastPause)
		} else {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	if lease != "" {
		last, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		if _, err := registry.EndLease(last, &registryv1.EndLeaseRequest{LeaseId: lease}); err != nil {
			slog.Warn("the lease was not given back", "problem", err)
		}
	}
}

// step registers, or renews the lease; it returns the lease and when to come again.
func step(
	ctx context.Context, registry registryv1.RegistryServiceClient, s settings, lease string,
) (string, time.Duration, error) {
	// Not cut off by ctx: a registration that is under way shall be given back.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if lease == "" {
		host, _ := os.Hostname()
		reply, err := registry.RegisterReplica(call, &registryv1.RegisterReplicaRequest{
			Model: s.name, Version: s.version, Address: s.advertise, InputType: inputType,
			Host: fmt.Sprintf("%s:%d", host, os.Getpid()), Runtime: "go_runtime (" + runtime.Version() + ")",
		})
		if err != nil {
			return "", 0, err
		}
		slog.Info("registered", "replica", reply.ReplicaId)
		return reply.Lease.LeaseId, reply.Lease.Ttl.AsDuration() / 3, nil
	}
	reply, err := registry.RenewLease(call, &registryv1.RenewLeaseRequest{LeaseId: lease})
	switch {
	case status.Code(err) == codes.NotFound: // it has ended: register again
		return "", 0, nil
	case err != nil:
		return lease, 0, err
	}
	return lease, reply.Lease.Ttl.AsDuration() / 3, nil
}
