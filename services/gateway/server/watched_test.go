package server

import "testing"

func TestRoutesAreFewWhateverIsAskedFor(t *testing.T) {
	for path, want := range map[string]string{
		"/hello-world/predict":        "/{application}/predict",
		"/hello-world/predict/":       "/{application}/predict",
		"/x/update":                   "/{application}/update",
		"/v1/applications/a:predict":  "/v1",
		"/admin/add_app":              "/admin",
		"/admin/whatever/it/may/be":   "/admin",
		"/metrics":                    "/metrics",
		"/healthz":                    "/healthz",
		"/some/thing/else":            "other",
		"/favicon.ico":                "other",
		"/a/b/c/predict/nothing/more": "other",
	} {
		if got := route(path); got != want {
			t.Errorf("%s: %s, not %s", path, got, want)
		}
	}
}
