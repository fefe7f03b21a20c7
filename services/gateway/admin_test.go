package main

import (
	"fmt"
	"strings"
	"testing"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

const app1 = `{"name": "app1", "input_type": "doubles", "default_output": "-1.0", "latency_slo_micros": 100000}`

func model(name, version, inputType string) string {
	return fmt.Sprintf(`{"model_name": %q, "model_version": %q, "labels": ["a", "b"], "input_type": %q, "container_name": "img", `+
		`"model_data_path": "DEPRECATED", "batch_size": -1}`, name, version, inputType)
}

func TestApplicationsAreAdministeredAsInClipper(t *testing.T) {
	g := start(t)
	g.expect(g.post("/admin/add_app", app1), 200, "Successfully added application with name 'app1'")
	g.expect(g.post("/admin/add_app", app1), 409, "app1")
	g.expect(g.post("/admin/get_all_applications", `{"verbose": false}`), 200, `["app1"]`)
	shown := `{"input_type":"doubles","default_output":"-1.0","latency_slo_micros":100000,"name":"app1","linked_models":[]}`
	g.expect(g.post("/admin/get_all_applications", `{"verbose": true}`), 200, "["+shown+"]")
	g.expect(g.post("/admin/get_application", `{"name": "app1"}`), 200, shown)
	g.expect(g.post("/admin/get_application", `{"name": "other"}`), 200, `{}`)
	g.expect(g.post("/admin/get_application", `{"name": "Not A Name"}`), 200, `{}`)
	g.expect(g.post("/admin/get_state", `{"app_name": "app1", "uid": 3}`), 200, "-1.0")
	g.expect(g.post("/admin/get_state", `{"app_name": "other", "uid": 0}`), 404, "other")
	g.expect(g.post("/admin/delete_app", `{"name": "app1"}`), 200, "Successfully deleted application with name 'app1'")
	g.expect(g.post("/admin/delete_app", `{"name": "app1"}`), 404, "app1")
	g.expect(g.post("/admin/get_all_applications", `{"verbose": true}`), 200, `[]`)
	g.expect(g.do("GET", g.admin+"/admin/ping", ""), 200, "PONG")
}

func TestModelsAreAdministeredAsInClipper(t *testing.T) {
	g := start(t)
	g.expect(g.post("/admin/add_model", model("m", "1", "d")), 200, "Successfully added model with name 'm' and input type 'doubles'")
	g.expect(g.post("/admin/add_model", model("m", "1", "d")), 409, "")
	g.expect(g.post("/admin/add_model", model("m", "2", "double")), 200, "doubles")
	shown := func(version string, current bool) string {
		return fmt.Sprintf(`{"model_name":"m","model_version":%q,"input_type":"doubles","labels":["a","b"],"container_name":"img",`+
			`"model_data_path":"DEPRECATED","is_current_version":%v}`, version, current)
	}
	g.expect(g.post("/admin/get_all_models", `{"verbose": false}`), 200, `["m:1","m:2"]`)
	g.expect(g.post("/admin/get_all_models", `{"verbose": true}`), 200, "["+shown("1", false)+","+shown("2", true)+"]")
	g.expect(g.post("/admin/set_model_version", `{"model_name": "m", "model_version": "1"}`), 200,
		"Successfully set model with name 'm' to version '1'")
	g.expect(g.post("/admin/get_model", `{"model_name": "m", "model_version": "1"}`), 200, shown("1", true))
	g.expect(g.post("/admin/get_model", `{"model_name": "m", "model_version": "9"}`), 200, `{}`)
	g.expect(g.post("/admin/set_model_version", `{"model_name": "m", "model_version": "9"}`), 404, "9")
	g.expect(g.post("/admin/delete_versioned_model", `{"model_name": "m", "model_version": "1"}`), 200,
		"Successfully deleted model with name 'm' and version '1'")
	g.expect(g.post("/admin/delete_versioned_model", `{"model_name": "m", "model_version": "1"}`), 404, "1")
	for spelling, name := range map[string]string{"b": "bytes", "ints": "integers", "float": "floats", "strs": "strings"} {
		g.expect(g.post("/admin/add_model", model("t-"+name, "1", spelling)), 200, "'"+name+"'")
	}
}

func TestLinksAreCheckedInClippersOrder(t *testing.T) {
	g := start(t)
	link := func(app, models string) reply {
		return g.post("/admin/add_model_links", fmt.Sprintf(`{"app_name": %q, "model_names": %s}`, app, models))
	}
	g.expect(link("app1", `[]`), 404, "No app with name 'app1' exists.")
	g.post("/admin/add_app", app1)
	g.expect(link("app1", `["m"]`), 404, "No model with name 'm' exists.")
	g.expect(link("app1", `[]`), 400, "Please provide the name")
	g.post("/admin/add_model", model("m", "1", "doubles"))
	g.post("/admin/add_model", model("n", "1", "strings"))
	g.expect(link("app1", `["m", "n"]`), 400, "at most one model. Attempted to add links to 2 models.")
	g.expect(link("app1", `["n"]`), 409, "same input type")
	g.expect(link("app1", `["m"]`), 200, "Successfully linked model with name 'm' to application 'app1'")
	g.expect(link("app1", `["m"]`), 409, "already linked")
	g.expect(g.post("/admin/get_linked_models", `{"app_name": "app1"}`), 200, `["m"]`)
	g.expect(g.post("/admin/get_linked_models", `{"app_name": "x"}`), 404, "'x'")
	unlink := func(models string) reply {
		return g.post("/admin/delete_model_links", fmt.Sprintf(`{"app_name": "app1", "model_names": %s}`, models))
	}
	g.expect(unlink(`["m", "n"]`), 404, "nonexistent link between app app1 and model n")
	g.expect(g.post("/admin/get_linked_models", `{"app_name": "app1"}`), 200, `["m"]`)
	g.expect(unlink(`["m"]`), 200, "Success!")
	g.expect(g.post("/admin/get_linked_models", `{"app_name": "app1"}`), 200, `[]`)
}

func TestReplicasAreShownAsContainers(t *testing.T) {
	g := start(t)
	g.expect(g.post("/admin/get_all_containers", `{"verbose": true}`), 200, `[]`)
	g.manager.AddReplica(&pb.Replica{Model: "m", Version: "1", ReplicaId: 3, InputType: pb.InputType_INPUT_TYPE_DOUBLES})
	shown := `{"model_id":"m:1","model_name":"m","model_version":"1","model_replica_id":3,"input_type":"doubles"}`
	g.expect(g.post("/admin/get_all_containers", `{"verbose": true}`), 200, "["+shown+"]")
	g.expect(g.post("/admin/get_all_containers", `{"verbose": false}`), 200, `["m:1:3"]`)
	g.expect(g.post("/admin/get_container", `{"model_name": "m", "model_version": "1", "replica_id": 3}`), 200, shown)
	g.expect(g.post("/admin/get_container", `{"model_name": "m", "model_version": "1", "replica_id": 4}`), 200, `{}`)
}

func TestListsHaveAllPages(t *testing.T) {
	g := start(t)
	g.manager.PageSize = 2
	var names []string
	for i := range 5 {
		name := fmt.Sprintf("app%d", i)
		names = append(names, `"`+name+`"`)
		g.post("/admin/add_app", strings.Replace(app1, "app1", name, 1))
		g.post("/admin/add_model", model("m", fmt.Sprint(i), "doubles"))
		g.manager.AddReplica(&pb.Replica{Model: "m", Version: "1", ReplicaId: int64(i)})
	}
	g.expect(g.post("/admin/get_all_applications", `{"verbose": false}`), 200, "["+strings.Join(names, ",")+"]")
	g.expect(g.post("/admin/get_all_models", `{"verbose": false}`), 200, `["m:0","m:1","m:2","m:3","m:4"]`)
	g.expect(g.post("/admin/get_all_containers", `{"verbose": false}`), 200, `["m:1:0","m:1:1","m:1:2","m:1:3","m:1:4"]`)
}

func TestBadAdministrationSaysWhatIsWrong(t *testing.T) {
	g := start(t)
	for _, c := range []struct {
		path, body string
		status     int
		contains   string
	}{
		{"add_app", `{"name": "a"`, 400, `{"error":"Json error","cause":"Error parsing JSON: JSON parse error: unexpected end`},
		{"add_app", ``, 400, "parse error"},
		{"add_app", `[]`, 400, "from an object"},
		{"add_app", `{}`, 400, "required key: name. Expected JSON schema: {\\\"name\\\" := string, \\\"input_type\\\""},
		{"add_app", strings.Replace(app1, `"-1.0"`, `-1.0`, 1), 400, "default_output expected type string but found -1.0"},
		{"add_app", strings.Replace(app1, `100000`, `1e5`, 1), 400, "latency_slo_micros expected type int"},
		{"add_app", strings.Replace(app1, `100000`, `0`, 1), 400, "latency_slo_micros must be positive"},
		{"add_app", strings.Replace(app1, `100000`, `-9223372036854775808`, 1), 400, "must be positive"},
		{"add_app", strings.Replace(app1, `100000`, `5`, 1), 400, "from 1 ms"},
		{"add_app", strings.Replace(app1, `doubles`, `numbers`, 1), 400, `\"numbers\" is no input type`},
		{"get_all_models", `{"verbose": "true"}`, 400, "verbose expected type bool"},
		{"add_model_links", `{"app_name": "a", "model_names": "m"}`, 400, "model_names expected type array"},
		{"add_model_links", `{"app_name": "a", "model_names": [1]}`, 400, "model_names[0] expected type string"},
		{"add_model", strings.Replace(model("m", "1", "d"), `-1}`, `0}`, 1), 400, "batch size must be positive"},
		{"add_model", strings.Replace(model("m", "1", "d"), `"1"`, `1`, 1), 400, "model_version expected type string"},
		{"get_container", `{"model_name": "m", "model_version": "1", "replica_id": "0"}`, 400, "replica_id expected type int"},
		{"nothing", `{}`, 404, "There is no /admin/nothing"},
	} {
		g.expect(g.post("/admin/"+c.path, c.body), c.status, c.contains)
	}
	r := g.do("GET", g.admin+"/admin/add_app", "")
	g.expect(r, 405, "takes POST")
	if r.header.Get("Allow") != "POST" {
		t.Error(r.header)
	}
	g.expect(g.do("POST", g.admin+"/admin/ping", ""), 405, "takes GET")
}

func TestABatchSizeIsACeiling(t *testing.T) {
	g := start(t)
	g.expect(g.post("/admin/add_model", strings.Replace(model("m", "1", "d"), "-1", "9", 1)), 200, "")
	g.expect(g.post("/admin/add_model", strings.Replace(model("m", "2", "d"), `, "batch_size": -1`, "", 1)), 200, "")
	for version, want := range map[string]string{"1": "9", "2": "0"} {
		r := g.do("GET", g.admin+"/v1/models/m/versions/"+version, "")
		batching := r.json(t)["model_version"].(map[string]any)["batching"].(map[string]any)
		if batching["max_batch_rows"] != any(numberOf(want)) {
			t.Errorf("%s: %+v", version, batching)
		}
	}
}

func TestTheGeneratedAdminRoutesAnswerToo(t *testing.T) {
	g := start(t)
	r := g.do("POST", g.admin+"/v1/applications", `{"name": "app2", "input_type": "INPUT_TYPE_DOUBLES", "latency_objective": "0.1s"}`)
	if r.status != 200 {
		t.Errorf("%+v", r)
	}
	g.expect(g.post("/admin/get_all_applications", `{"verbose": false}`), 200, `["app2"]`)
	r = g.do("GET", g.admin+"/v1/applications?page_size=1", "")
	if r.status != 200 || !strings.Contains(r.text, "app2") {
		t.Errorf("%+v", r)
	}
	r = g.do("PATCH", g.admin+"/v1/applications/app2", "")
	g.expect(r, 405, "PATCH")
	if r.header.Get("Allow") != "DELETE, GET, PUT" {
		t.Error(r.header)
	}
	if r = g.do("DELETE", g.admin+"/v1/applications/app2", ""); r.status != 200 {
		t.Errorf("%+v", r)
	}
}
