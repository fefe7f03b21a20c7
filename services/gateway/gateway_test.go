package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"

	"github.com/clipper-serve/clipper/services/gateway/fake"
	"github.com/clipper-serve/clipper/services/gateway/settings"
)

// A gateway under test, with a frontend and a manager in memory behind it.
type gateway struct {
	t              *testing.T
	frontend       *fake.Frontend
	manager        *fake.Manager
	frontendServer *fake.Server
	query, admin   string
	stop           context.CancelFunc
	done           chan error
}

func start(t *testing.T, flags ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, frontend: &fake.Frontend{}, manager: &fake.Manager{}, done: make(chan error, 1)}
	for name, inputType := range map[string]pb.InputType{
		"hello-world": pb.InputType_INPUT_TYPE_DOUBLES, "ints": pb.InputType_INPUT_TYPE_INTEGERS, "text": pb.InputType_INPUT_TYPE_STRINGS,
		"raw": pb.InputType_INPUT_TYPE_BYTES, "floats": pb.InputType_INPUT_TYPE_FLOATS,
	} {
		g.frontend.Set(name, inputType)
	}
	g.frontendServer = serve(t, "127.0.0.1:0", g.frontend)
	managerServer, err := fake.Serve("127.0.0.1:0", g.manager.Register)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(managerServer.Stop)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := settings.Parse(append([]string{
		"--frontend", g.frontendServer.Address, "--manager", managerServer.Address,
		"--query-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
	}, flags...), func(string) (string, bool) { return "", false }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	// The gateway closes the descriptor that it was given: it gets one of its own.
	if chosen.ReadyFD, err = syscall.Dup(int(write.Fd())); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	go func() { g.done <- run(ctx, chosen, slog.New(slog.DiscardHandler)) }()
	var ready struct {
		Query, Admin string
		PID          int
	}
	if err := json.NewDecoder(read).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	g.query, g.admin = "http://"+ready.Query, "http://"+ready.Admin
	t.Cleanup(func() {
		cancel()
		<-g.done
		close(g.done)
		_ = read.Close()
	})
	return g
}

func serve(t *testing.T, address string, frontend *fake.Frontend) *fake.Server {
	t.Helper()
	server, err := fake.Serve(address, frontend.Register)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// A reply of the gateway.
type reply struct {
	status int
	header http.Header
	text   string
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(r.text))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.text, err)
	}
	return object
}

func (g *gateway) do(method, url, body string, headers ...string) reply {
	g.t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

func (g *gateway) post(path, body string, headers ...string) reply {
	g.t.Helper()
	if strings.HasPrefix(path, "/admin/") {
		return g.do("POST", g.admin+path, body, headers...)
	}
	return g.do("POST", g.query+path, body, headers...)
}

// expect fails unless a reply has a status and contains a text.
func (g *gateway) expect(r reply, status int, contains string) {
	g.t.Helper()
	if r.status != status || !strings.Contains(r.text, contains) {
		g.t.Errorf("got %d %s, want %d …%s…", r.status, r.text, status, contains)
	}
	if status >= 400 {
		if object := r.json(g.t); len(object) != 2 || object["error"] == "" || object["cause"] == "" {
			g.t.Errorf("not {error, cause}: %s", r.text)
		}
		if got := r.header.Get("Content-Type"); got != "application/json" {
			g.t.Errorf("content type %s", got)
		}
	}
}

// within asks until a reply has a status, for at most ten seconds.
func (g *gateway) within(ask func() reply, status int) {
	g.t.Helper()
	var last reply
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if last = ask(); last.status == status {
			return
		}
	}
	g.t.Fatalf("got %d %s, want %d", last.status, last.text, status)
}
