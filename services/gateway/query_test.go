package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/clipper-serve/clipper/services/gateway/fake"
	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

func TestASingleInputIsAnsweredAsClipperDid(t *testing.T) {
	g := start(t)
	for _, path := range []string{"/hello-world/predict", "/hello-world/predict/"} {
		r := g.post(path, `{"input": [1.1, 2, 3.5e0]}`)
		answer := r.json(t)
		if r.status != 200 || r.header.Get("Content-Type") != "application/json" || len(answer) != 3 {
			t.Errorf("%+v", r)
		}
		if output := answer["output"]; output != any(numberOf("6.6")) || answer["default"] != false {
			t.Errorf("%v", answer)
		}
	}
	for app, input := range map[string]string{"ints": `[1, 2]`, "text": `"abc"`, "raw": `"AAEC"`, "floats": `[1.5, 1.5]`} {
		g.expect(g.post("/"+app+"/predict", `{"input": `+input+`}`), 200, `"output":3,`)
	}
}

func TestABatchIsAnsweredInOrder(t *testing.T) {
	g := start(t)
	r := g.post("/hello-world/predict", `{"input_batch": [[1], [2, 3], []]}`)
	g.expect(r, 200, `{"batch_predictions":[{"query_id":1,"output":1,"default":false},{"query_id":2,"output":5,"default":false},{"query_id":3,"output":0,"default":false}]}`)
	g.expect(g.post("/hello-world/predict", `{"input_batch": [[1, 2]]}`), 200, `{"query_id":4,"output":3,"default":false}`)
	g.expect(g.post("/hello-world/predict", `{"input_batch": []}`), 200, `{"batch_predictions":[]}`)
}

func TestABatchNamesTheInputThatFailed(t *testing.T) {
	g := start(t)
	failing := fake.Fail(codes.Internal, "MODEL_ERROR", "the model raised", 0)
	g.frontend.Answer = func(_ context.Context, request *pb.PredictRequest) (*pb.PredictResponse, error) {
		if len(request.GetInput().GetDoubles().GetValues()) == 0 {
			return nil, failing
		}
		return &pb.PredictResponse{QueryId: 1<<53 - 1, Output: text("late"), Default: true, DefaultExplanation: "too late"}, nil
	}
	g.expect(g.post("/hello-world/predict", `{"input_batch": [[1], []]}`), 200,
		`{"batch_predictions":[{"query_id":9007199254740991,"output":"late","default":true,"default_explanation":"too late"},`+
			`{"error":"Query processing error","cause":"the model raised"}]}`)
	g.expect(g.post("/hello-world/predict", `{"input_batch": [[]]}`), 500, "the model raised")
	g.expect(g.do("GET", g.query+"/metrics", ""), 200, `"app:hello-world:default_prediction_ratio":{"ratio":1}`)
}

func TestBadQueriesSayWhatIsWrong(t *testing.T) {
	g := start(t, "--max-body-bytes", "1000")
	for _, c := range []struct {
		path, body string
		status     int
		contains   string
	}{
		{"/hello-world/predict", `{"input": [1.0, 2.0}`, 400, `{"error":"Json error","cause":"Error parsing JSON: JSON parse error: expected , or ] (offset 19)`},
		{"/hello-world/predict", ``, 400, "Json error"},
		{"/hello-world/predict", `{"input": "x"}`, 400, `Expected JSON schema: {\"input\" := [double]`},
		{"/ints/predict", `{"input": [1.0]}`, 400, "not a 32-bit integer"},
		{"/raw/predict", `{"input": "?"}`, 400, "base64"},
		{"/unknown/predict", `{"input": [1]}`, 404, "unknown"},
		{"/Bad_Name/predict", `{"input": [1]}`, 404, "lower-case"},
		{"/bad[/predict", `{"input": [1]}`, 404, "bad["},
		{"/hello-world/predicts", `{"input": [1]}`, 404, "There is no"},
		{"/", ``, 404, "The status page is at / of the administration port."},
		{"/v1/nothing", ``, 404, "There is no"},
		{"/hello-world/predict", strings.Repeat("x", 1001), 413, "1000 bytes"},
		{"/v1/applications/hello-world:predict", strings.Repeat("x", 1001), 413, "1000 bytes"},
		{"/hello-world/update", `{"uid": 0, "input": [1]}`, 400, "required key: label"},
		{"/unknown/update", `{"uid": 0, "input": [1], "label": 1}`, 404, "unknown"},
	} {
		g.expect(g.post(c.path, c.body), c.status, c.contains)
	}
	r := g.do("GET", g.query+"/hello-world/predict", "")
	g.expect(r, 405, "takes POST, not GET")
	if r.header.Get("Allow") != "POST" {
		t.Error(r.header)
	}
	r = g.do("PATCH", g.query+"/v1/applications/hello-world:predict", "")
	g.expect(r, 405, "takes POST, not PATCH")
	if r.header.Get("Allow") != "POST" {
		t.Error(r.header)
	}
}

func TestALargeBodyOfUnknownLengthIsCutOff(t *testing.T) {
	g := start(t, "--max-body-bytes", "1000")
	for _, path := range []string{"/hello-world/predict", "/v1/applications/hello-world:predict"} {
		body := struct{ *strings.Reader }{strings.NewReader(`{"input": [` + strings.Repeat("1,", 5000) + "1]}")}
		request, _ := http.NewRequest("POST", g.query+path, body) // a reader of unknown kind: sent in chunks
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != 413 {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
}

func TestInputsThatGrowTooLargeAreRefused(t *testing.T) {
	g := start(t, "--max-message-bytes", "1000")
	g.expect(g.post("/hello-world/predict", `{"input": [`+strings.Repeat("1,", 200)+"1]}"), 413, "1000 bytes")
}

func TestFailuresOfTheFrontendKeepTheirMeaning(t *testing.T) {
	g := start(t)
	var answer error
	g.frontend.Answer = func(context.Context, *pb.PredictRequest) (*pb.PredictResponse, error) { return nil, answer }
	for _, c := range []struct {
		code       codes.Code
		reason     string
		status     int
		retryAfter string
	}{
		{codes.ResourceExhausted, "OVERLOADED", 429, "1"},
		{codes.Unavailable, "NO_REPLICA", 503, "1"},
		{codes.Unavailable, "NO_MODEL", 503, "1"},
		{codes.DeadlineExceeded, "LATE", 504, "1"},
		{codes.Internal, "MODEL_ERROR", 500, "1"},
		{codes.FailedPrecondition, "TOO_MANY_LINKS", 400, "1"},
		{codes.NotFound, "VERSION_NOT_FOUND", 400, "1"},
	} {
		answer = fake.Fail(c.code, c.reason, "because of "+c.reason, 100*time.Millisecond)
		r := g.post("/hello-world/predict", `{"input": [1], "version": "7"}`)
		g.expect(r, c.status, `{"error":"Query processing error","cause":"because of `+c.reason+`"}`)
		if got := r.header.Get("Retry-After"); got != c.retryAfter {
			t.Errorf("%s: Retry-After %q", c.reason, got)
		}
	}
}

func TestAnApplicationIsDescribedOnce(t *testing.T) {
	g := start(t)
	for range 5 {
		g.expect(g.post("/hello-world/predict", `{"input": [1]}`), 200, "output")
	}
	if n := g.frontend.Described.Load(); n != 1 {
		t.Errorf("described %d times", n)
	}
}

func TestAnApplicationThatIsMadeAgainWithAnotherTypeIsLearnedAnew(t *testing.T) {
	g := start(t)
	g.expect(g.post("/hello-world/predict", `{"input": [1]}`), 200, `"output":1,`)
	g.frontend.Set("hello-world", pb.InputType_INPUT_TYPE_INTEGERS)
	g.expect(g.post("/hello-world/predict", `{"input": [2]}`), 200, `"output":2,`)
	g.expect(g.post("/hello-world/predict", `{"input": [2.5]}`), 400, "32-bit integer")
	g.frontend.Set("hello-world", pb.InputType_INPUT_TYPE_FLOATS)
	g.expect(g.post("/hello-world/update", `{"uid": 0, "input": [2], "label": 1}`), 200, "Feedback received? 1")
}

func TestABodyThatDoesNotFitMakesTheGatewayDoubtWhatItKnows(t *testing.T) {
	g := start(t)
	g.expect(g.post("/hello-world/predict", `{"input": [1]}`), 200, `"output":1,`)
	g.frontend.Set("hello-world", pb.InputType_INPUT_TYPE_STRINGS)
	g.within(func() reply { return g.post("/hello-world/predict", `{"input": "four"}`) }, 200)
	g.frontend.Set("hello-world", pb.InputType_INPUT_TYPE_DOUBLES)
	g.within(func() reply { return g.post("/hello-world/update", `{"uid": 0, "input": [1], "label": 1}`) }, 200)
	described := g.frontend.Described.Load()
	for range 50 {
		g.expect(g.post("/hello-world/predict", `{"input": "four"}`), 400, "not an array of numbers")
	}
	if n := g.frontend.Described.Load() - described; n > 5 {
		t.Errorf("%d bad bodies made it ask %d times", 50, n)
	}
}

func TestADeletedApplicationIsForgotten(t *testing.T) {
	g := start(t)
	g.expect(g.post("/hello-world/predict", `{"input": [1]}`), 200, "output")
	g.frontend.Delete("hello-world")
	g.expect(g.post("/hello-world/predict", `{"input": [1]}`), 404, "hello-world")
	if r := g.do("GET", g.query+"/metrics", ""); strings.Contains(r.text, "hello-world") {
		t.Error(r.text)
	}
	g.frontend.Set("hello-world", pb.InputType_INPUT_TYPE_STRINGS)
	g.expect(g.post("/hello-world/predict", `{"input": "four"}`), 200, `"output":4,`)
}

func TestFeedbackIsPassedOn(t *testing.T) {
	g := start(t)
	r := g.post("/hello-world/update/", `{"uid": 42, "input": [1, 2], "label": 3}`)
	if r.status != 200 || r.text != "Feedback received? 1" {
		t.Errorf("%+v", r)
	}
	sent := g.frontend.Feedback()
	if sent.GetContext() != "42" || sent.GetLabel().GetNumber() != 3 || len(sent.GetInput().GetDoubles().GetValues()) != 2 {
		t.Errorf("%v", sent)
	}
}

func TestTheClientsDeadlineTravels(t *testing.T) {
	g := start(t)
	g.frontend.Answer = func(ctx context.Context, _ *pb.PredictRequest) (*pb.PredictResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	g.expect(g.post("/hello-world/predict", `{"input": [1]}`, "Grpc-Timeout", "30m"), 504, "deadline")
	g.expect(g.post("/hello-world/predict", `{"input_batch": [[1], [2]]}`, "Grpc-Timeout", "30m"), 504, "deadline")
	r := g.post("/v1/applications/hello-world:predict", `{"input": {"doubles": {"values": [1]}}}`, "Grpc-Timeout", "30m")
	if r.status != 504 {
		t.Errorf("%+v", r)
	}
	g.frontend.Answer = func(ctx context.Context, _ *pb.PredictRequest) (*pb.PredictResponse, error) {
		deadline, _ := ctx.Deadline()
		return &pb.PredictResponse{Output: &pb.Output{Value: &pb.Output_Number{Number: time.Until(deadline).Seconds()}}}, nil
	}
	left := g.post("/hello-world/predict", `{"input": [1]}`, "Grpc-Timeout", "3S").json(t)["output"].(json.Number)
	if seconds, _ := left.Float64(); seconds <= 0 || seconds > 3 {
		t.Error(left)
	}
	g.expect(g.post("/hello-world/predict", `{"input": [1]}`, "Grpc-Timeout", "soon"), 400, "Grpc-Timeout")
}

func TestAnAnswerIsExplainedToThoseWhoAsk(t *testing.T) {
	g := start(t)
	var asked []*pb.PredictRequest
	g.frontend.Answer = func(_ context.Context, request *pb.PredictRequest) (*pb.PredictResponse, error) {
		asked = append(asked, request)
		answer := &pb.PredictResponse{QueryId: 7, Output: text("4"), Confidence: 1, Contributions: []*pb.Contribution{
			{Model: "m", Version: "1", ReplicaId: 3, Weight: 1, LatencyUs: 9000, Joined: true},
		}}
		if request.GetExplain() {
			answer.Timing = &pb.Timing{QueueUs: 4000, LingerUs: 2000, BatchRows: 7, ModelUs: 4500, NetworkUs: 500, TotalUs: 10000}
		}
		return answer, nil
	}
	r := g.post("/hello-world/predict", `{"input": [1], "explain": true, "bypass_cache": true}`)
	g.expect(r, 200, `{"query_id":7,"output":4,"default":false,"confidence":1,"contributions":[`+
		`{"model":"m","version":"1","replica_id":3,"weight":1,"latency_us":9000,"cached":false,"joined":true}],`+
		`"timing":{"queue_us":4000,"linger_us":2000,"batch_rows":7,"model_us":4500,"network_us":500,"total_us":10000}}`)
	if got := r.header.Get("Server-Timing"); got != "queue;dur=4, linger;dur=2, model;dur=4.5, network;dur=0.5, total;dur=10" {
		t.Error(got)
	}
	if !asked[0].GetBypassCache() {
		t.Error(asked[0])
	}
	r = g.post("/hello-world/predict", `{"explain": false, "input": [1]}`)
	if r.text != `{"query_id":7,"output":4,"default":false}` || r.header.Get("Server-Timing") != "" || asked[1].GetBypassCache() {
		t.Errorf("%+v", r)
	}
	for _, body := range []string{`{"input": [1], "explain": 1}`, `{"input": [1], "bypass_cache": "true"}`, `{"input": [1], "explain": tru}`} {
		g.expect(g.post("/hello-world/predict", body), 400, "Json error")
	}
}

func TestAClientThatLeavesIsNotWaitedFor(t *testing.T) {
	g := start(t)
	asked, left := make(chan struct{}), make(chan struct{})
	g.frontend.Answer = func(ctx context.Context, _ *pb.PredictRequest) (*pb.PredictResponse, error) {
		close(asked)
		<-ctx.Done()
		close(left)
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	request, _ := http.NewRequestWithContext(ctx, "POST", g.query+"/hello-world/predict", strings.NewReader(`{"input": [1]}`))
	if _, err := http.DefaultClient.Do(request); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-left
}

func TestTheRequestIDTravels(t *testing.T) {
	g := start(t)
	r := g.post("/hello-world/predict", `{"input": [1]}`, "X-Request-Id", "abc-1", "Cookie", "secret")
	if sent := g.frontend.Metadata(); sent.Get("x-request-id")[0] != "abc-1" || len(sent.Get("cookie")) != 0 {
		t.Error(sent)
	}
	if r.header.Get("X-Request-Id") != "abc-1" {
		t.Error(r.header)
	}
	g.post("/v1/applications/hello-world:predict", `{"input": {"doubles": {"values": [1]}}}`, "X-Request-Id", "abc-2", "Cookie", "secret")
	if sent := g.frontend.Metadata(); sent.Get("x-request-id")[0] != "abc-2" || strings.Contains(strings.Join(keys(sent), " "), "cookie") {
		t.Error(sent)
	}
}

func TestTheGeneratedRoutesAnswerToo(t *testing.T) {
	g := start(t)
	r := g.post("/v1/applications/hello-world:predict", `{"input": {"doubles": {"values": [1, 2.5]}}}`)
	if output := r.json(t)["output"].(map[string]any)["number"]; output != any(numberOf("3.5")) {
		t.Errorf("%+v", r)
	}
	r = g.do("GET", g.query+"/v1/applications/text:describe", "")
	if r.json(t)["input_type"] != "INPUT_TYPE_STRINGS" {
		t.Errorf("%+v", r)
	}
	r = g.post("/v1/applications/unknown:predict", `{"input": {}}`)
	if r.status != 404 || r.json(t)["code"] != any(numberOf("5")) || !strings.Contains(r.text, "APPLICATION_NOT_FOUND") {
		t.Errorf("%+v", r)
	}
	r = g.post("/v1/applications/hello-world:predict", `{"input": {"doubles": 1}}`)
	if r.status != 400 {
		t.Errorf("%+v", r)
	}
	g.expect(g.do("GET", g.query+"/metrics", ""), 200, `"app:hello-world:num_predictions":{"count":1}`)
}

func TestAFrontendThatRestartsIsFoundAgain(t *testing.T) {
	g := start(t)
	ask := func() reply { return g.post("/hello-world/predict", `{"input": [1]}`) }
	health := func() reply { return g.do("GET", g.query+"/healthz", "") }
	g.within(health, 200)
	g.expect(ask(), 200, "output")
	address := g.frontendServer.Address
	g.frontendServer.Stop()
	asked := time.Now()
	r := ask()
	g.expect(r, 503, "frontend at "+address)
	if took := time.Since(asked); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	g.within(health, 503)
	again := serve(t, address, g.frontend)
	g.within(ask, 200)
	g.within(health, 200)
	again.Health.SetServingStatus("", 2) // NOT_SERVING
	g.within(health, 503)
	g.within(ask, 503)
}
