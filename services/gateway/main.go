// Command clipper-gateway serves Clipper's REST, translated to gRPC. See --help.
//
// Reading order: this file, server, rest (with values and transfer), admin, status, aip, upstream.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/clipper-serve/clipper/services/gateway/admin"
	"github.com/clipper-serve/clipper/services/gateway/aip"
	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/logs"
	"github.com/clipper-serve/clipper/services/gateway/metrics"
	"github.com/clipper-serve/clipper/services/gateway/openapi"
	"github.com/clipper-serve/clipper/services/gateway/rest"
	"github.com/clipper-serve/clipper/services/gateway/server"
	"github.com/clipper-serve/clipper/services/gateway/settings"
	"github.com/clipper-serve/clipper/services/gateway/status"
	"github.com/clipper-serve/clipper/services/gateway/traces"
	"github.com/clipper-serve/clipper/services/gateway/upstream"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "0.1.0"

// gcPercent trades some memory, of which the gateway uses little, for fewer collections.
const gcPercent = 400

// The exit codes, besides the signal that ended the process.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	chosen, err := settings.Parse(os.Args[1:], os.LookupEnv, os.Stdout)
	switch {
	case errors.Is(err, settings.ErrHelp):
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "Error: %v.\nTry 'clipper-gateway --help'.\n", err)
		os.Exit(exitUsage)
	case chosen.ShowVersion:
		fmt.Println("clipper-gateway " + version)
		return
	case chosen.Healthcheck:
		if err := server.AskHealth(chosen.QueryListen, chosen.AdminListen); err != nil {
			fmt.Fprintf(os.Stderr, "Error: %v\n", err)
			os.Exit(exitFailed)
		}
		return
	}
	if _, given := os.LookupEnv("GOGC"); !given {
		debug.SetGCPercent(gcPercent)
	}
	log := logs.New(os.Stderr, logs.Levels[chosen.LogLevel])
	ctx, stop := server.UntilSignal()
	if err := run(ctx, chosen, log); err != nil {
		log.Error("failed", "problem", err.Error())
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(exitFailed)
	}
	stop.Raise()
}

// run puts the parts together and serves until the context ends.
func run(ctx context.Context, chosen *settings.Settings, log *slog.Logger) error {
	options := upstream.Options{
		Connections: chosen.FrontendConnections, MaxMessageBytes: chosen.MaxMessageBytes, UserAgent: "clipper-gateway/" + version,
	}
	frontend, err := upstream.Dial("frontend", chosen.Frontend, options)
	if err != nil {
		return err
	}
	defer frontend.Close()
	options.Connections = 1
	manager, err := upstream.Dial("manager", chosen.Manager, options)
	if err != nil {
		return err
	}
	defer manager.Close()
	tracer, err := traces.New(version, func(err error) { log.Warn("spans_lost", "problem", err.Error()) })
	if err != nil {
		return err
	}
	defer tracer.Close()
	counts := metrics.NewProcess(version)
	options.UserAgent += " (metrics)"
	frontends := metrics.NewFrontends(
		pb.NewAdminServiceClient(manager), strings.Split(chosen.Frontend, ","),
		func(address string) (metrics.Connection, error) { return upstream.Dial("frontend", address, options) },
	)
	defer frontends.Close()
	own := metrics.New(time.Now)
	queryPort, err := queryPort(frontend, chosen, own, metrics.NewPage(own, frontends, counts))
	if err != nil {
		return err
	}
	adminPort, err := adminPort(manager, frontend, frontends)
	if err != nil {
		return err
	}
	ports := []*server.Port{queryPort, adminPort}
	for _, port := range ports {
		port.Log, port.Counts, port.Tracer = log, counts, tracer
		port.Limits = server.Limits{
			MaxBodyBytes: chosen.MaxBodyBytes, HeaderTimeout: chosen.HeaderTimeout, BodyTimeout: chosen.BodyTimeout,
			IdleTimeout: chosen.IdleTimeout,
		}
	}
	ready := func() error {
		log.Info("listening", "query", queryPort.Address(), "admin", adminPort.Address(), "frontend", chosen.Frontend,
			"manager", chosen.Manager, "version", version)
		return tellReady(chosen.ReadyFD, queryPort.Address(), adminPort.Address())
	}
	err = server.Run(ctx, ports, []string{chosen.QueryListen, chosen.AdminListen}, chosen.DrainDelay, chosen.Grace, ready)
	if err == nil {
		log.Info("stopped")
	}
	return err
}

func queryPort(
	frontend *upstream.Pool, chosen *settings.Settings, counts *metrics.Registry, told *metrics.Page,
) (*server.Port, error) {
	description, err := openapi.Query(version)
	if err != nil {
		return nil, err
	}
	predict, feedback := pb.NewPredictServiceClient(frontend), pb.NewFeedbackServiceClient(frontend)
	generated := aip.New(description)
	background := context.Background()
	if err := errors.Join(
		pb.RegisterPredictServiceHandlerClient(background, generated, rest.Counted{PredictServiceClient: predict, Metrics: counts}),
		pb.RegisterFeedbackServiceHandlerClient(background, generated, feedback),
	); err != nil {
		return nil, err
	}
	handler := &rest.Handler{
		Predict: predict, Feedback: feedback, Applications: rest.NewApplications(predict), Metrics: counts,
		MaxMessageBytes: chosen.MaxMessageBytes, Told: told, Next: generated,
	}
	return &server.Port{Name: "query", Check: frontend.Check, Description: description, Handler: handler}, nil
}

func adminPort(manager, frontend *upstream.Pool, frontends *metrics.Frontends) (*server.Port, error) {
	description, err := openapi.Admin(version)
	if err != nil {
		return nil, err
	}
	client := pb.NewAdminServiceClient(manager)
	inspect := metrics.Inspected{InspectServiceClient: pb.NewInspectServiceClient(frontend), Frontends: frontends}
	generated := aip.New(description)
	background := context.Background()
	if err := errors.Join(
		pb.RegisterAdminServiceHandlerClient(background, generated, client),
		pb.RegisterInspectServiceHandlerClient(background, generated, inspect),
	); err != nil {
		return nil, err
	}
	handler := status.New(frontends, admin.New(client, generated))
	return &server.Port{Name: "admin", Check: manager.Check, Description: description, Handler: handler}, nil
}

// tellReady writes one line to an inherited file descriptor, for the parent that waits for it.
func tellReady(fd int, query, admin string) error {
	if fd < 0 {
		return nil
	}
	file := os.NewFile(uintptr(fd), "ready-fd")
	if file == nil {
		return fmt.Errorf("--ready-fd %d is no file descriptor", fd)
	}
	line, err := json.Marshal(map[string]any{"query": query, "admin": admin, "pid": os.Getpid()})
	if err != nil {
		return err
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("--ready-fd %d cannot be written: %w", fd, err)
	}
	return file.Close()
}
