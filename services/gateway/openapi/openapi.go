// Package openapi is the description of the REST interface: clipper.swagger.json is generated from the protos,
// query.json and admin.json describe Clipper's own routes. Each port serves the part that it has.
package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

//go:embed clipper.swagger.json
var generated []byte

//go:embed query.json
var query []byte

//go:embed admin.json
var admin []byte

// A Document is a Swagger 2.0 description.
type Document struct {
	text  []byte
	paths map[string][]string // template -> methods
}

type object = map[string]any

// Query describes the query port.
func Query(version string) (*Document, error) {
	return merge(query, version, "PredictService", "FeedbackService")
}

// Admin describes the admin port.
func Admin(version string) (*Document, error) {
	return merge(admin, version, "AdminService", "InspectService")
}

// merge adds to a written description the generated operations of some services, and the definitions that they use.
func merge(written []byte, version string, services ...string) (*Document, error) {
	var document, other object
	if err := json.Unmarshal(written, &document); err != nil {
		return nil, fmt.Errorf("the written description: %w", err)
	}
	if err := json.Unmarshal(generated, &other); err != nil {
		return nil, fmt.Errorf("the generated description: %w", err)
	}
	document["info"].(object)["version"] = version
	paths := document["paths"].(object)
	for path, item := range other["paths"].(object) {
		kept := object{}
		for method, operation := range item.(object) {
			tags := operation.(object)["tags"].([]any)
			if slices.ContainsFunc(services, func(service string) bool { return slices.Contains(tags, any(service)) }) {
				kept[method] = operation
			}
		}
		if len(kept) > 0 {
			paths[path] = kept
		}
	}
	definitions := document["definitions"].(object)
	addUsed(paths, definitions, other["definitions"].(object))
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	d := &Document{text: text, paths: map[string][]string{}}
	for path, item := range paths {
		for method := range item.(object) {
			d.paths[path] = append(d.paths[path], strings.ToUpper(method))
		}
		slices.Sort(d.paths[path])
	}
	return d, nil
}

const reference = "#/definitions/"

// addUsed adds to definitions what a part of the description refers to, and what that refers to.
func addUsed(part any, definitions, from object) {
	switch part := part.(type) {
	case object:
		for key, value := range part {
			name, ok := value.(string)
			if !ok || key != "$ref" {
				addUsed(value, definitions, from)
				continue
			}
			name = strings.TrimPrefix(name, reference)
			if _, has := definitions[name]; !has && from[name] != nil {
				definitions[name] = from[name]
				addUsed(from[name], definitions, from)
			}
		}
	case []any:
		for _, value := range part {
			addUsed(value, definitions, from)
		}
	}
}

// ServeHTTP answers with the description.
func (d *Document) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*") // for viewers in a browser; it is no secret
	_, _ = w.Write(d.text)                             // a client that has left is told nothing
}

// Paths are the templates of all paths, sorted.
func (d *Document) Paths() []string { return slices.Sorted(maps.Keys(d.paths)) }

// Methods returns the methods that a path takes; none when there is no such path.
func (d *Document) Methods(path string) []string {
	methods := []string{}
	for template, some := range d.paths {
		if matches(template, path) {
			methods = append(methods, some...)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// matches tells whether a path has the form of a template such as /v1/applications/{application}:predict.
func matches(template, path string) bool {
	wanted, given := strings.Split(template, "/"), strings.Split(path, "/")
	if len(wanted) != len(given) {
		return false
	}
	for i, want := range wanted {
		_, verb, isVariable := strings.Cut(want, "}")
		if !isVariable {
			if want != given[i] {
				return false
			}
			continue
		}
		value, ok := strings.CutSuffix(given[i], verb)
		if !ok || value == "" || (verb == "" && strings.Contains(value, ":")) {
			return false
		}
	}
	return true
}
