package rest

import (
	"context"
	"net/http"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/problem"
	"github.com/clipper-serve/clipper/services/gateway/transfer"
	"github.com/clipper-serve/clipper/services/gateway/values"
)

// update answers POST /{application}/update. It returns what went wrong before anything was written.
func (h *Handler) update(w http.ResponseWriter, r *http.Request, name string) *problem.Problem {
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
	err = h.tell(ctx, name, app, body.Bytes())
	if again, isNew := h.learnAnew(ctx, name, app, &err); isNew {
		app = again
		err = h.tell(ctx, name, app, body.Bytes())
	}
	if err != nil {
		return h.failure(badBody(err, values.FeedbackSchema(app.InputType)), name)
	}
	transfer.WriteText(w, "Feedback received? 1")
	return nil
}

// tell reads the body as feedback for an application and sends it.
func (h *Handler) tell(ctx context.Context, name string, app Application, body []byte) error {
	feedback, err := values.ReadFeedback(body, app.InputType, h.MaxMessageBytes)
	if err != nil {
		return err
	}
	defer feedback.Release()
	request := &pb.SendFeedbackRequest{
		Application: name, Context: feedback.Context, Truth: &pb.SendFeedbackRequest_Label{Label: feedback.Label},
	}
	request.ProtoReflect().SetUnknown(feedback.Encoded)
	_, err = h.Feedback.SendFeedback(ctx, request)
	return err
}
