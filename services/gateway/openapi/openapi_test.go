package openapi

import (
	"slices"
	"testing"
)

func TestPathsAreMatchedWithTheirTemplates(t *testing.T) {
	document, err := Admin("1.0")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"/admin/add_app":                     {"POST"},
		"/v1/applications":                   {"GET", "POST"},
		"/v1/applications/a":                 {"DELETE", "GET", "PUT"},
		"/v1/applications/a:linkModel":       {"POST"},
		"/v1/applications/a:nothing":         {},
		"/v1/applications/":                  {},
		"/v1/models/m/versions/1.0:activate": {"POST"},
		"/v1/applications/a:predict":         {},
	} {
		if got := document.Methods(path); !slices.Equal(got, want) {
			t.Errorf("%s: %v", path, got)
		}
	}
}
