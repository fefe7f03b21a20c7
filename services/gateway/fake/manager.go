package fake

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// A Manager keeps applications and versions in memory, with the rules that Clipper's REST shows.
type Manager struct {
	pb.UnimplementedAdminServiceServer

	mutex        sync.Mutex
	applications []*pb.Application
	versions     []*pb.ModelVersion
	replicas     []*pb.Replica
	instances    []*pb.Instance
	// PageSize cuts pages to this size, to make lists have several.
	PageSize int
}

// AddReplica makes a replica exist.
func (m *Manager) AddReplica(replica *pb.Replica) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.replicas = append(m.replicas, replica)
}

// AddInstance has a process register.
func (m *Manager) AddInstance(instance *pb.Instance) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.instances = append(m.instances, instance)
}

// ListInstances lists all.
func (m *Manager) ListInstances(context.Context, *pb.ListInstancesRequest) (*pb.ListInstancesResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return &pb.ListInstancesResponse{Instances: m.instances}, nil
}

// Register adds the manager's service to a server.
func (m *Manager) Register(server *grpc.Server) { pb.RegisterAdminServiceServer(server, m) }

func (m *Manager) application(name string) (*pb.Application, error) {
	if name == "" || name == "Not A Name" {
		return nil, Fail(codes.InvalidArgument, "INVALID_FIELD", "application: not a name", 0)
	}
	for _, app := range m.applications {
		if app.GetName() == name {
			return app, nil
		}
	}
	return nil, Fail(codes.NotFound, "APPLICATION_NOT_FOUND", fmt.Sprintf("No application %q.", name), 0)
}

func (m *Manager) version(model, version string) (*pb.ModelVersion, error) {
	for _, v := range m.versions {
		if v.GetModel() == model && v.GetVersion() == version {
			return v, nil
		}
	}
	return nil, Fail(codes.NotFound, "VERSION_NOT_FOUND", "Requested version: "+version+" does not exist for model: "+model, 0)
}

// CreateApplication refuses a name in use and objectives below a millisecond.
func (m *Manager) CreateApplication(
	_ context.Context, request *pb.CreateApplicationRequest,
) (*pb.CreateApplicationResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	app := request.GetApplication()
	if _, err := m.application(app.GetName()); err == nil {
		return nil, Fail(codes.AlreadyExists, "APPLICATION_EXISTS", fmt.Sprintf("Application %q exists already.", app.GetName()), 0)
	}
	if app.GetLatencyObjective().AsDuration() < time.Millisecond {
		return nil, Fail(codes.InvalidArgument, "INVALID_FIELD", "latency_objective: from 1 ms to 1 hour", 0)
	}
	m.applications = append(m.applications, app)
	return &pb.CreateApplicationResponse{Application: app}, nil
}

// GetApplication finds one.
func (m *Manager) GetApplication(_ context.Context, request *pb.GetApplicationRequest) (*pb.GetApplicationResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	app, err := m.application(request.GetApplication())
	return &pb.GetApplicationResponse{Application: app}, err
}

// DeleteApplication ends one.
func (m *Manager) DeleteApplication(
	_ context.Context, request *pb.DeleteApplicationRequest,
) (*pb.DeleteApplicationResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	app, err := m.application(request.GetApplication())
	m.applications = slices.DeleteFunc(m.applications, func(other *pb.Application) bool { return other == app })
	return &pb.DeleteApplicationResponse{}, err
}

// page cuts a page out of all; the token is the index of its first element.
func page[T any](m *Manager, all []T, token string, size int32) (part []T, next string) {
	start, _ := strconv.Atoi(token)
	end := min(len(all), start+int(size))
	if m.PageSize > 0 {
		end = min(end, start+m.PageSize)
	}
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[start:end], next
}

// ListApplications lists in the order of creation.
func (m *Manager) ListApplications(
	_ context.Context, request *pb.ListApplicationsRequest,
) (*pb.ListApplicationsResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	part, next := page(m, m.applications, request.GetPageToken(), request.GetPageSize())
	return &pb.ListApplicationsResponse{Applications: part, NextPageToken: next}, nil
}

// LinkModel links; types must agree.
func (m *Manager) LinkModel(_ context.Context, request *pb.LinkModelRequest) (*pb.LinkModelResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	app, err := m.application(request.GetApplication())
	if err != nil {
		return nil, err
	}
	for _, version := range m.versions {
		if version.GetModel() == request.GetModel() && version.GetInputType() != app.GetInputType() {
			return nil, Fail(codes.FailedPrecondition, "LINK_TYPE_MISMATCH", "linked ones must have the same input type.", 0)
		}
	}
	if len(app.GetLinks()) > 0 {
		return nil, Fail(codes.AlreadyExists, "LINK_EXISTS", "is already linked", 0)
	}
	app.Links = append(app.Links, &pb.Link{Model: request.GetModel(), Weight: 1})
	return &pb.LinkModelResponse{Application: app}, nil
}

// UnlinkModel unlinks.
func (m *Manager) UnlinkModel(_ context.Context, request *pb.UnlinkModelRequest) (*pb.UnlinkModelResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	app, err := m.application(request.GetApplication())
	if err != nil {
		return nil, err
	}
	app.Links = slices.DeleteFunc(app.Links, func(link *pb.Link) bool { return link.GetModel() == request.GetModel() })
	return &pb.UnlinkModelResponse{Application: app}, nil
}

// GetModel finds the model of any version.
func (m *Manager) GetModel(_ context.Context, request *pb.GetModelRequest) (*pb.GetModelResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, version := range m.versions {
		if version.GetModel() == request.GetModel() {
			return &pb.GetModelResponse{Model: &pb.Model{Name: version.GetModel(), InputType: version.GetInputType()}}, nil
		}
	}
	return nil, Fail(codes.NotFound, "MODEL_NOT_FOUND", fmt.Sprintf("No model %q.", request.GetModel()), 0)
}

// ListModels lists the models of all active versions.
func (m *Manager) ListModels(context.Context, *pb.ListModelsRequest) (*pb.ListModelsResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	response := &pb.ListModelsResponse{}
	for _, version := range m.versions {
		if version.GetState() == pb.ModelVersion_STATE_ACTIVE {
			response.Models = append(response.Models, &pb.Model{Name: version.GetModel(), CurrentVersion: version.GetVersion()})
		}
	}
	return response, nil
}

// CreateModelVersion adds a version.
func (m *Manager) CreateModelVersion(
	_ context.Context, request *pb.CreateModelVersionRequest,
) (*pb.CreateModelVersionResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	version := request.GetModelVersion()
	if _, err := m.version(version.GetModel(), version.GetVersion()); err == nil {
		return nil, Fail(codes.AlreadyExists, "VERSION_EXISTS", "has it already", 0)
	}
	m.versions = append(m.versions, version)
	if request.GetActivate() {
		m.activate(version)
	}
	return &pb.CreateModelVersionResponse{ModelVersion: version}, nil
}

func (m *Manager) activate(version *pb.ModelVersion) {
	for _, other := range m.versions {
		if other.GetModel() == version.GetModel() {
			other.State = pb.ModelVersion_STATE_STAGED
		}
	}
	version.State = pb.ModelVersion_STATE_ACTIVE
}

// ActivateModelVersion makes a version current.
func (m *Manager) ActivateModelVersion(
	_ context.Context, request *pb.ActivateModelVersionRequest,
) (*pb.ActivateModelVersionResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	version, err := m.version(request.GetModel(), request.GetVersion())
	if err != nil {
		return nil, err
	}
	m.activate(version)
	return &pb.ActivateModelVersionResponse{}, nil
}

// DeleteModelVersion deletes with force only.
func (m *Manager) DeleteModelVersion(
	_ context.Context, request *pb.DeleteModelVersionRequest,
) (*pb.DeleteModelVersionResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	version, err := m.version(request.GetModel(), request.GetVersion())
	if err != nil {
		return nil, err
	}
	if !request.GetForce() {
		return nil, Fail(codes.FailedPrecondition, "VERSION_IN_USE", "force it", 0)
	}
	m.versions = slices.DeleteFunc(m.versions, func(other *pb.ModelVersion) bool { return other == version })
	return &pb.DeleteModelVersionResponse{}, nil
}

// GetModelVersion finds one.
func (m *Manager) GetModelVersion(
	_ context.Context, request *pb.GetModelVersionRequest,
) (*pb.GetModelVersionResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	version, err := m.version(request.GetModel(), request.GetVersion())
	return &pb.GetModelVersionResponse{ModelVersion: version}, err
}

// ListModelVersions lists in the order of creation.
func (m *Manager) ListModelVersions(
	_ context.Context, request *pb.ListModelVersionsRequest,
) (*pb.ListModelVersionsResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	part, next := page(m, m.versions, request.GetPageToken(), request.GetPageSize())
	return &pb.ListModelVersionsResponse{ModelVersions: part, NextPageToken: next}, nil
}

// GetReplica finds one.
func (m *Manager) GetReplica(_ context.Context, request *pb.GetReplicaRequest) (*pb.GetReplicaResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, replica := range m.replicas {
		if replica.GetModel() == request.GetModel() && replica.GetReplicaId() == request.GetReplicaId() {
			return &pb.GetReplicaResponse{Replica: replica}, nil
		}
	}
	return nil, Fail(codes.NotFound, "REPLICA_NOT_FOUND", "no such replica", 0)
}

// ListReplicas lists all.
func (m *Manager) ListReplicas(_ context.Context, request *pb.ListReplicasRequest) (*pb.ListReplicasResponse, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	part, next := page(m, m.replicas, request.GetPageToken(), request.GetPageSize())
	return &pb.ListReplicasResponse{Replicas: part, NextPageToken: next}, nil
}
