package admin

import (
	"context"
	"math"
	"net/http"
	"strconv"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

const (
	addModelSchema = `{"model_name" := string, "model_version" := string, "labels" := [string], ` +
		`"input_type" := "integers" | "bytes" | "floats" | "doubles" | "strings", "container_name" := string, ` +
		`"model_data_path" := string, "batch_size" := int (optional)}`
	versionSchema   = `{"model_name" := string, "model_version" := string}`
	containerSchema = `{"model_name" := string, "model_version" := string, "replica_id" := int}`
)

// defaultBatchSize lets the batch policy find the size.
const defaultBatchSize = -1

func (h *Handler) addModel(ctx context.Context, body body) (any, error) {
	name, version, err := body.version()
	if err != nil {
		return nil, err
	}
	labels, err := body.texts("labels")
	if err != nil {
		return nil, err
	}
	inputType, err := body.inputType()
	if err != nil {
		return nil, err
	}
	image, err := body.text("container_name")
	if err != nil {
		return nil, err
	}
	dataPath, err := body.text("model_data_path")
	if err != nil {
		return nil, err
	}
	batching, err := body.batching()
	if err != nil {
		return nil, err
	}
	// Clipper's new versions go live when they are registered.
	response, err := h.client.CreateModelVersion(ctx, &pb.CreateModelVersionRequest{
		ModelVersion: &pb.ModelVersion{
			Model: name, Version: version, InputType: inputType, Labels: labels, Image: image, DataPath: dataPath, Batching: batching,
		},
		Activate: true,
	})
	stored := viewModel(response.GetModelVersion())
	return sentence("Successfully added model with name '" + name + "' and input type '" + stored.InputType + "'"), err
}

func (h *Handler) deleteVersionedModel(ctx context.Context, body body) (any, error) {
	name, version, err := body.version()
	if err != nil {
		return nil, err
	}
	// Clipper deletes a version also while it is current.
	_, err = h.client.DeleteModelVersion(ctx, &pb.DeleteModelVersionRequest{Model: name, Version: version, Force: true})
	return sentence("Successfully deleted model with name '" + name + "' and version '" + version + "'"), err
}

func (h *Handler) setModelVersion(ctx context.Context, body body) (any, error) {
	name, version, err := body.version()
	if err != nil {
		return nil, err
	}
	_, err = h.client.ActivateModelVersion(ctx, &pb.ActivateModelVersionRequest{Model: name, Version: version})
	return sentence("Successfully set model with name '" + name + "' to version '" + version + "'"), err
}

func (h *Handler) getModel(ctx context.Context, body body) (any, error) {
	name, version, err := body.version()
	if err != nil {
		return nil, err
	}
	response, err := h.client.GetModelVersion(ctx, &pb.GetModelVersionRequest{Model: name, Version: version})
	if isUnknown(err) {
		return struct{}{}, nil
	}
	return viewModel(response.GetModelVersion()), err
}

func (h *Handler) getAllModels(ctx context.Context, body body) (any, error) {
	verbose, err := body.truth("verbose")
	if err != nil {
		return nil, err
	}
	names, views := []string{}, []model{}
	for token := ""; ; {
		page, err := h.client.ListModelVersions(ctx, &pb.ListModelVersionsRequest{PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, version := range page.GetModelVersions() {
			names = append(names, version.GetModel()+":"+version.GetVersion())
			views = append(views, viewModel(version))
		}
		if token = page.GetNextPageToken(); token == "" {
			return either(verbose, views, names), nil
		}
	}
}

func (h *Handler) getContainer(ctx context.Context, body body) (any, error) {
	name, version, err := body.version()
	if err != nil {
		return nil, err
	}
	replicaID, err := body.integer("replica_id")
	if err != nil {
		return nil, err
	}
	response, err := h.client.GetReplica(ctx, &pb.GetReplicaRequest{Model: name, Version: version, ReplicaId: replicaID})
	if isUnknown(err) {
		return struct{}{}, nil
	}
	return viewContainer(response.GetReplica()), err
}

func (h *Handler) getAllContainers(ctx context.Context, body body) (any, error) {
	verbose, err := body.truth("verbose")
	if err != nil {
		return nil, err
	}
	names, views := []string{}, []container{}
	for token := ""; ; {
		page, err := h.client.ListReplicas(ctx, &pb.ListReplicasRequest{PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, replica := range page.GetReplicas() {
			view := viewContainer(replica)
			names = append(names, view.ModelID+":"+strconv.FormatInt(view.ModelReplicaID, 10))
			views = append(views, view)
		}
		if token = page.GetNextPageToken(); token == "" {
			return either(verbose, views, names), nil
		}
	}
}

func (b body) version() (name, version string, err error) {
	if name, err = b.text("model_name"); err == nil {
		version, err = b.text("model_version")
	}
	return name, version, err
}

// batching reads Clipper's batch size: a ceiling, or -1.
func (b body) batching() (*pb.Batching, error) {
	if _, ok := b["batch_size"]; !ok {
		return &pb.Batching{}, nil
	}
	size, err := b.integer("batch_size")
	switch {
	case err != nil:
		return nil, err
	case size == defaultBatchSize:
		return &pb.Batching{}, nil
	case size <= 0 || size > math.MaxInt32:
		return nil, refused(http.StatusBadRequest, "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1")
	}
	return &pb.Batching{MaxBatchRows: int32(size)}, nil
}
