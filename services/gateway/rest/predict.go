package rest

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/problem"
	"github.com/clipper-serve/clipper/services/gateway/transfer"
	"github.com/clipper-serve/clipper/services/gateway/values"
)

// predict answers POST /{application}/predict. It returns what went wrong before anything was written.
func (h *Handler) predict(w http.ResponseWriter, r *http.Request, name string) *problem.Problem {
	start := time.Now()
	body, failed := transfer.ReadBody(r)
	if failed != nil {
		return failed
	}
	defer body.Release()
	ctx, app, cancel, err := h.prepare(r, name)
	if err != nil {
		return h.failure(err, name)
	}
	defer cancel()
	reply := transfer.NewReply()
	defer reply.Release()
	answers, defaults, err := h.ask(ctx, name, app, body.Bytes(), reply)
	if again, isNew := h.learnAnew(ctx, name, app, &err); isNew {
		app = again
		answers, defaults, err = h.ask(ctx, name, app, body.Bytes(), reply)
	}
	if err != nil {
		return h.failure(badBody(err, values.QuerySchema(app.InputType)), name)
	}
	h.Metrics.Answered(name, answers, defaults, time.Since(start))
	reply.Write(w)
	return nil
}

// ask reads the body as queries of an application, gets their answers and puts them into the reply.
func (h *Handler) ask(
	ctx context.Context, name string, app Application, body []byte, reply *transfer.Reply,
) (answers, defaults int, err error) {
	query, err := values.ReadQuery(body, app.InputType, h.MaxMessageBytes)
	if err != nil {
		return 0, 0, err
	}
	defer query.Release()
	if !query.IsBatch {
		request := &pb.PredictRequest{
			Application: name, Version: query.Version, Context: query.Context, BypassCache: query.BypassCache, Explain: query.Explain,
		}
		// The input is encoded already: it goes out as it is.
		request.ProtoReflect().SetUnknown(query.Encoded)
		answer, err := h.Predict.Predict(ctx, request)
		if err != nil {
			return 0, 0, err
		}
		reply.JSON = values.AppendPrediction(reply.JSON[:0], answer)
		reply.ServerTiming = values.ServerTiming(answer)
		return 1, countDefault(answer), nil
	}
	request := &pb.PredictBatchRequest{
		Application: name, Version: query.Version, Context: query.Context, BypassCache: query.BypassCache, Explain: query.Explain,
	}
	request.ProtoReflect().SetUnknown(query.Encoded)
	batch, err := h.Predict.PredictBatch(ctx, request)
	if err != nil {
		return 0, 0, err
	}
	results := batch.GetResults()
	if len(results) != query.Count {
		return 0, 0, problem.New(http.StatusBadGateway, problem.Unexpected,
			"The frontend answered %d inputs with %d results.", query.Count, len(results))
	}
	if len(results) == 1 { // as Clipper does: a batch of one is answered as a single query
		if failed := results[0].GetError(); failed != nil {
			return 0, 0, status.FromProto(failed).Err()
		}
		reply.JSON = values.AppendPrediction(reply.JSON[:0], results[0].GetPrediction())
		return 1, countDefault(results[0].GetPrediction()), nil
	}
	return appendBatch(results, reply)
}

func appendBatch(results []*pb.PredictBatchResult, reply *transfer.Reply) (answers, defaults int, err error) {
	json := append(reply.JSON[:0], `{"batch_predictions":[`...)
	for i, result := range results {
		if i > 0 {
			json = append(json, ',')
		}
		if failed := result.GetError(); failed != nil {
			json = problem.FromRPC(failed, problem.QueryProcessing).AppendJSON(json)
			continue
		}
		json = values.AppendPrediction(json, result.GetPrediction())
		answers++
		defaults += countDefault(result.GetPrediction())
	}
	reply.JSON = append(json, "]}"...)
	return answers, defaults, nil
}

func countDefault(answer *pb.PredictResponse) int {
	if answer.GetDefault() {
		return 1
	}
	return 0
}

// replyMargin is how much longer than an application's objective the gateway waits for the frontend: it only matters
// when the frontend hangs, since an answer comes within the objective.
const replyMargin = 5 * time.Second

// prepare finds out how to read the inputs of an application, and makes the context of its call.
func (h *Handler) prepare(r *http.Request, name string) (context.Context, Application, context.CancelFunc, error) {
	timeout, err := transfer.Timeout(r)
	if err != nil {
		return nil, Application{}, nil, err
	}
	ctx := transfer.Context(r)
	app, err := h.Applications.Get(ctx, name)
	if err != nil {
		return nil, Application{}, nil, err
	}
	if limit := app.Objective + replyMargin; timeout == 0 || timeout > limit {
		timeout = limit
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, app, cancel, nil
}

// learnAnew asks for the description of an application again after an error that may come of an outdated one: it may
// have been deleted and made again with another input type. It returns whether there is a new one to try with; if the question
// failed, its error is the one to answer with.
func (h *Handler) learnAnew(ctx context.Context, name string, app Application, err *error) (Application, bool) {
	isOutdated := problem.Reason(*err) == problem.ReasonInputTypeMismatch
	if !isOutdated && !(values.IsOtherShape(*err) && time.Since(app.learned) > doubtAfter) {
		return app, false
	}
	again, failed := h.Applications.Refresh(ctx, name)
	if failed != nil {
		*err = failed
		return app, false
	}
	return again, isOutdated || again.InputType != app.InputType
}

// badBody is the problem of a body that cannot be read; other errors stay as they are.
func badBody(err error, schema string) error {
	if values.IsBad(err) {
		return problem.New(http.StatusBadRequest, problem.JSONError, "Error parsing JSON: %v. Expected JSON schema: %s", err, schema)
	}
	var large *values.TooLarge
	if errors.As(err, &large) {
		return problem.New(http.StatusRequestEntityTooLarge, problem.TooLarge, "%v. Send several requests.", err)
	}
	return err
}

// failure is the problem that an error of a query is answered with.
func (h *Handler) failure(err error, name string) *problem.Problem {
	p := problem.From(err, problem.QueryProcessing)
	switch reason := problem.Reason(err); {
	case reason == problem.ReasonApplicationNotFound:
		h.Applications.Forget(name)
		h.Metrics.Forget(name)
		p.Kind = problem.NotFound
	case reason == problem.ReasonVersionNotFound, status.Code(err) == codes.FailedPrecondition:
		// Clipper's own status for a version that does not fit (contract Q12, Q16).
		p.Status = http.StatusBadRequest
	}
	return p
}
