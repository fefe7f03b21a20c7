package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"

	"github.com/clipper-serve/clipper/services/gateway/fake"
)

func TestTheStatusPageComesFromTheGatewayAlone(t *testing.T) {
	g := start(t)
	outside := regexp.MustCompile(`(?i)\b(https?|wss?|ftp):|["'(=]\s*//|@import|\beval\(|innerHTML|insertAdjacentHTML|document\.write`)
	namespace := `"http://www.w3.org/2000/svg"` // a name, not an address
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/status": "text/html; charset=utf-8", "/status/page.css": "text/css; charset=utf-8",
		"/status/page.js": "text/javascript; charset=utf-8", "/status/numbers.js": "text/javascript; charset=utf-8",
	} {
		r := g.do("GET", g.admin+path, "")
		if r.status != 200 || r.header.Get("Content-Type") != contentType || len(r.text) < 500 {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
		if found := outside.FindString(strings.ReplaceAll(r.text, namespace, "")); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		again := g.do("GET", g.admin+path, "", "If-None-Match", r.header.Get("ETag"))
		if again.status != http.StatusNotModified || again.text != "" {
			t.Errorf("%s: asked again: %d", path, again.status)
		}
		for header, part := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if !strings.Contains(r.header.Get(header), part) {
				t.Errorf("%s: %s is %q", path, header, r.header.Get(header))
			}
		}
		if strings.Contains(r.header.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: %s", path, r.header.Get("Content-Security-Policy"))
		}
	}
	// What the policy forbids the page does not have.
	page := g.do("GET", g.admin+"/", "").text
	for _, inline := range []string{"<style", "style=", "onclick", "onload", "javascript:"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page has %s", inline)
		}
	}
	if script := regexp.MustCompile(`<script[^>]*>[^<]`).FindString(page); script != "" {
		t.Errorf("an inline script: %s", script)
	}
}

func TestTheStatusPageIsRead(t *testing.T) {
	g := start(t)
	g.expect(g.do("POST", g.admin+"/", ""), 405, "GET")
	g.expect(g.do("DELETE", g.admin+"/status/stats", ""), 405, "GET")
	g.expect(g.do("GET", g.admin+"/status/other.js", ""), 404, "/status/other.js")
	g.expect(g.do("GET", g.query+"/status", ""), 404, "/status")
	response, err := http.Head(g.admin + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != 200 || len(body) != 0 || response.ContentLength < 500 {
		t.Errorf("HEAD: %v", response)
	}
}

func TestTheStatusPageGetsTheNumbersOfAllFrontends(t *testing.T) {
	g := start(t)
	g.manager.AddInstance(frontendAt(t, &fake.Inspected{Stats: &pb.GetStatsResponse{Processes: 1}}))
	g.manager.AddInstance(frontendAt(t, &fake.Inspected{Stats: &pb.GetStatsResponse{Processes: 2}}))
	g.manager.AddInstance(&pb.Instance{Kind: pb.Instance_KIND_MANAGER, Address: "127.0.0.1:1"})
	r := g.do("GET", g.admin+"/status/stats", "")
	told := r.json(t)["frontends"].([]any)
	if len(told) != 2 || r.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%v %s", r.header, r.text)
	}
	for at, processes := range []string{"1", "2"} {
		each := told[at].(map[string]any)
		if got := each["stats"].(map[string]any)["processes"]; each["address"] == "" || got.(interface{ String() string }).String() != processes {
			t.Errorf("%d: %v", at, each)
		}
	}
}

func TestWithoutFrontendsTheStatusPageHasNoNumbers(t *testing.T) {
	g := start(t)
	g.expect(g.do("GET", g.admin+"/status/stats", ""), 200, `{"frontends":[]}`)
	if r := g.do("GET", g.admin+"/v1/queries/7:explain", ""); r.status != 503 || !strings.Contains(r.text, "No frontend has registered") {
		t.Errorf("%d %s", r.status, r.text)
	}
}

func TestAQueryIsExplainedByWhicheverFrontendKnowsIt(t *testing.T) {
	g := start(t)
	unknown := fake.Fail(codes.NotFound, "ANSWER_NOT_REMEMBERED", "No answer to a query is remembered.", 0)
	g.manager.AddInstance(frontendAt(t, &fake.Inspected{Explained: map[int64]*pb.ExplainQueryResponse{7: {QueryId: 7, Application: "a"}}, Unknown: unknown}))
	g.manager.AddInstance(frontendAt(t, &fake.Inspected{Explained: map[int64]*pb.ExplainQueryResponse{8: {QueryId: 8, Application: "b"}}, Unknown: unknown}))
	g.expect(g.do("GET", g.admin+"/v1/queries/7:explain", ""), 200, `"application":"a"`)
	g.expect(g.do("GET", g.admin+"/v1/queries/8:explain", ""), 200, `"application":"b"`)
	if r := g.do("GET", g.admin+"/v1/queries/9:explain", ""); r.status != 404 || !strings.Contains(r.text, "ANSWER_NOT_REMEMBERED") {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := g.do("GET", g.admin+"/v1/queries/seven:explain", ""); r.status != 400 {
		t.Errorf("%d %s", r.status, r.text)
	}
}

// frontendAt serves what a frontend tells of itself, and is how it has registered.
func frontendAt(t *testing.T, inspected *fake.Inspected) *pb.Instance {
	t.Helper()
	server, err := fake.Serve("127.0.0.1:0", inspected.Register)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return &pb.Instance{Kind: pb.Instance_KIND_FRONTEND, Address: server.Address}
}
