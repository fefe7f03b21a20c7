package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/metadata"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/server"
	"github.com/clipper-serve/clipper/services/gateway/settings"
)

func numberOf(text string) json.Number { return json.Number(text) }

func text(value string) *pb.Output { return &pb.Output{Value: &pb.Output_String_{String_: value}} }

func keys(md metadata.MD) []string {
	var names []string
	for name := range md {
		names = append(names, name)
	}
	return names
}

func TestRequestsUnderWayEndBeforeTheGatewayDoes(t *testing.T) {
	g := start(t, "--drain-delay-s", "0.2")
	asked, answer := make(chan struct{}), make(chan struct{})
	g.frontend.Answer = func(context.Context, *pb.PredictRequest) (*pb.PredictResponse, error) {
		close(asked)
		<-answer
		return &pb.PredictResponse{QueryId: 1, Output: text("done")}, nil
	}
	replies := make(chan reply)
	go func() { replies <- g.post("/hello-world/predict", `{"input": [1]}`) }()
	<-asked
	g.within(func() reply { return g.do("GET", g.query+"/healthz", "") }, 200)
	g.stop()
	g.within(func() reply { return g.do("GET", g.query+"/healthz", "") }, 503)
	close(answer)
	g.expect(<-replies, 200, "done")
}

func TestRequestsThatDoNotEndAreCutOff(t *testing.T) {
	g := start(t, "--grace-s", "0.05")
	asked := make(chan struct{})
	g.frontend.Answer = func(ctx context.Context, _ *pb.PredictRequest) (*pb.PredictResponse, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	go func() {
		request, _ := http.NewRequest("POST", g.query+"/hello-world/predict", strings.NewReader(`{"input": [1]}`))
		_, _ = http.DefaultClient.Do(request)
	}()
	<-asked
	g.stop()
	if err := <-g.done; err != nil {
		t.Error(err)
	}
	g.done <- nil // for the clean-up
}

func TestATakenPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	chosen, err := settings.Parse([]string{"--query-listen", "127.0.0.1:0", "--admin-listen", taken.Addr().String()},
		func(string) (string, bool) { return "", false }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = run(context.Background(), chosen, slog.New(slog.DiscardHandler))
	var listen *server.ListenError
	if !errors.As(err, &listen) || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "--admin-listen") {
		t.Error(err)
	}
}

func TestBothPortsDescribeThemselves(t *testing.T) {
	g := start(t)
	for url, wants := range map[string][]string{
		g.query + "/openapi.json": {"/{application}/predict", "/metrics", "/healthz", "/v1/applications/{application}:predict", "/v1/applications/{application}:sendFeedback"},
		g.admin + "/openapi.json": {"/admin/add_app", "/admin/ping", "/healthz", "/v1/applications", "/v1/replicas"},
	} {
		r := g.do("GET", url, "")
		document := r.json(t)
		paths := document["paths"].(map[string]any)
		for _, want := range wants {
			if paths[want] == nil {
				t.Errorf("%s lacks %s", url, want)
			}
		}
		if strings.HasPrefix(url, g.query) && paths["/v1/models"] != nil {
			t.Error("the query port describes administration")
		}
		definitions := document["definitions"].(map[string]any)
		for _, part := range strings.Split(r.text, `"#/definitions/`)[1:] {
			if name, _, _ := strings.Cut(part, `"`); definitions[name] == nil {
				t.Errorf("%s refers to %s, which is not there", url, name)
			}
		}
	}
	described := g.do("GET", g.admin+"/openapi.json", "").json(t)["paths"].(map[string]any)
	count := 0
	for path := range described {
		if strings.HasPrefix(path, "/admin/") {
			count++
		}
	}
	if count != 16 {
		t.Errorf("%d admin routes are described", count)
	}
}

func TestMetricsHaveClippersGroups(t *testing.T) {
	g := start(t)
	for range 4 {
		g.expect(g.post("/hello-world/predict", `{"input_batch": [[1], [2]]}`), 200, "batch_predictions")
	}
	metrics := g.do("GET", g.query+"/metrics", "").json(t)
	var groups []string
	for group := range metrics {
		groups = append(groups, group)
	}
	slices.Sort(groups)
	if !slices.Equal(groups, []string{"counters", "histograms", "meters", "ratio_counters"}) {
		t.Error(groups)
	}
	first := metrics["counters"].([]any)[0].(map[string]any)["internal:aggregate_num_predictions"].(map[string]any)
	if first["count"] != any(numberOf("8")) {
		t.Error(first)
	}
	latency := metrics["histograms"].([]any)[0].(map[string]any)["app:hello-world:prediction_latency"].(map[string]any)
	if latency["size"] != any(numberOf("4")) || latency["unit"] != "microseconds" {
		t.Error(latency)
	}
}

func TestTheHealthCheckOfAContainerSaysWhetherTheGatewayServes(t *testing.T) {
	g := start(t)
	query, admin := strings.TrimPrefix(g.query, "http://"), strings.TrimPrefix(g.admin, "http://")
	g.within(func() reply { return g.do("GET", g.query+"/healthz", "") }, 200)
	g.within(func() reply { return g.do("GET", g.admin+"/healthz", "") }, 200)
	_, port, err := net.SplitHostPort(query)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{query, "0.0.0.0:" + port} {
		if err := server.AskHealth(address, admin); err != nil {
			t.Errorf("asked at %s: %v", address, err)
		}
	}
	stopping := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer stopping.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, other := range []*httptest.Server{stopping, gone} {
		if err := server.AskHealth(query, other.Listener.Addr().String()); err == nil {
			t.Error("one port that does not serve must be enough")
		}
	}
}
