package main

import (
	"context"
	"html"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"

	"github.com/clipper-serve/clipper/services/gateway/fake"
)

// hostile is a name that the manager would refuse, should it ever come through.
const hostile = `<img src=x onerror="document.title='broken'">`

func TestABrowserShowsTheStatusPage(t *testing.T) {
	g := start(t)
	stats := &pb.GetStatsResponse{
		Processes: 1,
		Applications: []*pb.ApplicationStats{{
			Application: "hello-world", Defaults: map[string]int64{"LATE": 0},
			Latency: &pb.Distribution{Buckets: []*pb.Bucket{{Above: 1000, AtMost: 3000}}},
		}},
		Models: []*pb.ModelStats{{Model: "sum", Version: "1", ReplicasUp: 1, ReplicasDown: 1}},
	}
	g.manager.AddInstance(frontendAt(t, &fake.Inspected{Stats: stats, Grow: func(s *pb.GetStatsResponse) {
		app := s.Applications[0] // 125 per second, of which one in five is late and one in five fails: it looks every two seconds
		app.Predictions += 150
		app.Defaults["LATE"] += 50
		app.Failures += 50
		app.Latency.Buckets[0].Count += 200
	}}))
	ctx := t.Context()
	for _, name := range []string{"hello-world", hostile} {
		app := &pb.Application{
			Name: name, LatencyObjective: durationpb.New(20 * time.Millisecond), Links: []*pb.Link{{Model: "sum"}},
			SelectionPolicy: &pb.SelectionPolicy{Name: "static"},
		}
		if _, err := g.manager.CreateApplication(ctx, &pb.CreateApplicationRequest{Application: app}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.manager.CreateModelVersion(ctx, &pb.CreateModelVersionRequest{
		ModelVersion: &pb.ModelVersion{Model: "sum", Version: "1"}, Activate: true,
	}); err != nil {
		t.Fatal(err)
	}
	g.manager.AddReplica(&pb.Replica{Model: "sum", Version: "1", Address: hostile})

	page := browse(t, g.admin+"/")
	words := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " "))
	for _, want := range []string{"Live · ", "hello-world", "sum:1", "1, 1 down", "20 ms", "LATE", hostile} {
		if !strings.Contains(words, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	for label, want := range map[string]string{"Missed": "40 %", "p50": "2 ms"} {
		cell := regexp.MustCompile(`data-label="` + label + `"><div>([^<]*)<`).FindStringSubmatch(page)
		if cell == nil || cell[1] != want {
			t.Errorf("%s: %q, want %s", label, cell, want)
		}
	}
	if strings.Contains(page, "<img") || !strings.Contains(page, "<title>Clipper</title>") {
		t.Error("a name became markup")
	}
	if t.Failed() {
		t.Log(page)
	}
}

// browse is the page as a browser has it after some seconds, which pass at once where nothing happens in them.
func browse(t *testing.T, url string) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		page, err := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
			"--user-data-dir="+t.TempDir(), "--virtual-time-budget=9000", "--dump-dom", url).Output()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return string(page)
	}
	t.Skip("no chromium is installed: the status page is not looked at in a browser (apt-get install chromium)")
	return ""
}
