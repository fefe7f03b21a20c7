package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/problem"
	"github.com/clipper-serve/clipper/services/gateway/values"
)

const (
	addAppSchema = `{"name" := string, "input_type" := "integers" | "bytes" | "floats" | "doubles" | "strings", ` +
		`"default_output" := string, "latency_slo_micros" := int}`
	nameSchema    = `{"name" := string}`
	appNameSchema = `{"app_name" := string}`
	linksSchema   = `{"app_name" := string, "model_names" := [string]}`
	stateSchema   = `{"app_name" := string, "uid" := int}`
	verboseSchema = `{"verbose" := bool}`
)

// pageSize is the largest that the manager takes.
const pageSize = 1000

func (h *Handler) addApp(ctx context.Context, body body) (any, error) {
	name, err := body.text("name")
	if err != nil {
		return nil, err
	}
	inputType, err := body.inputType()
	if err != nil {
		return nil, err
	}
	defaultOutput, err := body.text("default_output")
	if err != nil {
		return nil, err
	}
	objectiveMicros, err := body.integer("latency_slo_micros")
	if err != nil {
		return nil, err
	}
	// More than the manager takes in any case, and less than a duration can hold.
	const mostMicros = int64(24 * time.Hour / time.Microsecond)
	objective := time.Duration(min(max(objectiveMicros, -1), mostMicros)) * time.Microsecond
	if objective <= 0 {
		// To the manager 0 means its default.
		return nil, refused(http.StatusBadRequest, "latency_slo_micros must be positive, not %d. A good start is 100000.", objectiveMicros)
	}
	_, err = h.client.CreateApplication(ctx, &pb.CreateApplicationRequest{Application: &pb.Application{
		Name: name, InputType: inputType, LatencyObjective: durationpb.New(objective),
		DefaultOutput: &pb.Output{Value: &pb.Output_String_{String_: defaultOutput}},
	}})
	return sentence("Successfully added application with name '" + name + "'"), err
}

func (h *Handler) deleteApp(ctx context.Context, body body) (any, error) {
	name, err := body.text("name")
	if err != nil {
		return nil, err
	}
	_, err = h.client.DeleteApplication(ctx, &pb.DeleteApplicationRequest{Application: name})
	return sentence("Successfully deleted application with name '" + name + "'"), err
}

func (h *Handler) addModelLinks(ctx context.Context, body body) (any, error) {
	app, models, err := body.links()
	if err != nil {
		return nil, err
	}
	// In the order of Clipper's checks: first whether everything exists, then how many models there are.
	if _, err := h.application(ctx, app); err != nil {
		return nil, err
	}
	for _, name := range models {
		_, err := h.client.GetModel(ctx, &pb.GetModelRequest{Model: name})
		if isUnknown(err) {
			return nil, refused(http.StatusNotFound, "No model with name '%s' exists.", name)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case len(models) == 0:
		return nil, refused(http.StatusBadRequest,
			"Please provide the name of the model that you want to link to the application '%s'", app)
	case len(models) > 1:
		return nil, refused(http.StatusBadRequest,
			"Applications must be linked with at most one model. Attempted to add links to %d models.", len(models))
	}
	_, err = h.client.LinkModel(ctx, &pb.LinkModelRequest{Application: app, Model: models[0]})
	return sentence("Successfully linked model with name '" + models[0] + "' to application '" + app + "'"), err
}

func (h *Handler) deleteModelLinks(ctx context.Context, body body) (any, error) {
	app, models, err := body.links()
	if err != nil {
		return nil, err
	}
	found, err := h.application(ctx, app)
	if err != nil {
		return nil, err
	}
	linked := linkedModels(found)
	for _, name := range models {
		if !slices.Contains(linked, name) {
			return nil, refused(http.StatusNotFound, "Cannot remove nonexistent link between app %s and model %s", app, name)
		}
	}
	for _, name := range models {
		if _, err := h.client.UnlinkModel(ctx, &pb.UnlinkModelRequest{Application: app, Model: name}); err != nil {
			return nil, err
		}
	}
	return sentence("Success!"), nil
}

func (h *Handler) getLinkedModels(ctx context.Context, body body) (any, error) {
	name, err := body.text("app_name")
	if err != nil {
		return nil, err
	}
	app, err := h.application(ctx, name)
	return linkedModels(app), err
}

func (h *Handler) getApplication(ctx context.Context, body body) (any, error) {
	name, err := body.text("name")
	if err != nil {
		return nil, err
	}
	response, err := h.client.GetApplication(ctx, &pb.GetApplicationRequest{Application: name})
	if isUnknown(err) {
		return struct{}{}, nil
	}
	return viewApplication(response.GetApplication()), err
}

func (h *Handler) getAllApplications(ctx context.Context, body body) (any, error) {
	verbose, err := body.truth("verbose")
	if err != nil {
		return nil, err
	}
	names, views := []string{}, []application{}
	for token := ""; ; {
		page, err := h.client.ListApplications(ctx, &pb.ListApplicationsRequest{PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, app := range page.GetApplications() {
			names = append(names, app.GetName())
			views = append(views, viewApplication(app))
		}
		if token = page.GetNextPageToken(); token == "" {
			return either(verbose, views, names), nil
		}
	}
}

// getState answers the default output, as Clipper does: its selection state never held anything else.
func (h *Handler) getState(ctx context.Context, body body) (any, error) {
	name, err := body.text("app_name")
	if err != nil {
		return nil, err
	}
	if _, err := body.integer("uid"); err != nil {
		return nil, err
	}
	app, err := h.application(ctx, name)
	return sentence(values.OutputText(app.GetDefaultOutput())), err
}

// application gets one that must exist.
func (h *Handler) application(ctx context.Context, name string) (*pb.Application, error) {
	response, err := h.client.GetApplication(ctx, &pb.GetApplicationRequest{Application: name})
	if isUnknown(err) {
		return nil, refused(http.StatusNotFound, "No app with name '%s' exists.", name)
	}
	return response.GetApplication(), err
}

func (b body) links() (app string, models []string, err error) {
	if app, err = b.text("app_name"); err == nil {
		models, err = b.texts("model_names")
	}
	return app, models, err
}

// isUnknown tells whether what was asked for by name does not exist, or cannot exist by its name: Clipper's look-ups did
// not check names.
func isUnknown(err error) bool {
	return status.Code(err) == codes.NotFound || problem.Reason(err) == problem.ReasonInvalidField
}

func either(verbose bool, views, names any) any {
	if verbose {
		return views
	}
	return names
}
