// Package status is the page for people on the admin port: applications, models, replicas, live rates and reasons.
//
//	status.go   the page, its script and its style, and the numbers of all frontends
//	page.html   what stands still
//	page.css    how it looks, also on a phone
//	numbers.js  rates and quantiles out of two looks at what was counted
//	page.js     reads the gateway's own JSON while somebody looks, and shows it
//
// It reads, and changes nothing. It comes from the gateway alone: no other address is asked for anything, which its
// Content-Security-Policy holds the browser to.
package status

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/clipper-serve/clipper/services/gateway/metrics"
	"github.com/clipper-serve/clipper/services/gateway/problem"
)

//go:embed page.html page.css page.js numbers.js
var files embed.FS

// policy lets the page load and ask what comes from the gateway, and nothing else; nobody can frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Frontends tell what they have counted.
type Frontends interface {
	Each(ctx context.Context) []metrics.Told
}

// A Page serves / and what is below /status, and hands what is not its own to next.
type Page struct {
	frontends Frontends
	files     map[string]file
	next      http.Handler
}

type file struct {
	content     []byte
	contentType string
	tag         string
}

// New makes the page.
func New(frontends Frontends, next http.Handler) *Page {
	p := &Page{frontends: frontends, next: next, files: map[string]file{}}
	types := map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
	for _, name := range []string{"page.html", "page.css", "page.js", "numbers.js"} {
		content, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is part of the program
		}
		sum := sha256.Sum256(content)
		found := file{content, types[path.Ext(name)] + "; charset=utf-8", `"` + hex.EncodeToString(sum[:8]) + `"`}
		p.files["/status/"+name] = found
		if name == "page.html" {
			p.files["/"], p.files["/status"] = found, found
		}
	}
	return p
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, isFile := p.files[r.URL.Path]
	if !isFile && r.URL.Path != "/status/stats" {
		p.next.ServeHTTP(w, r)
		return
	}
	if !problem.Allowed(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	if !isFile {
		p.tell(w, r)
		return
	}
	header.Set("Content-Type", found.contentType)
	header.Set("Cache-Control", "no-cache") // asked for again, and answered with 304 while the gateway is the same
	header.Set("ETag", found.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.content))
}

// tell answers with what each frontend has counted since its start.
func (p *Page) tell(w http.ResponseWriter, r *http.Request) {
	options := protojson.MarshalOptions{UseProtoNames: true}
	type frontend struct {
		Address string          `json:"address"`
		Stats   json.RawMessage `json:"stats"`
	}
	body := struct {
		Frontends []frontend `json:"frontends"`
	}{Frontends: []frontend{}}
	for _, told := range p.frontends.Each(r.Context()) {
		text, err := options.Marshal(told.Stats)
		if err != nil {
			problem.From(err, problem.Unexpected).Write(w)
			return
		}
		body.Frontends = append(body.Frontends, frontend{told.Address, text})
	}
	text, err := json.Marshal(body)
	if err != nil {
		problem.From(err, problem.Unexpected).Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // a client that has left is told nothing
}
