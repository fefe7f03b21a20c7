package admin

import (
	"net/http"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/values"
)

// application is Clipper's object for one.
type application struct {
	InputType        string   `json:"input_type"`
	DefaultOutput    string   `json:"default_output"`
	LatencySLOMicros int64    `json:"latency_slo_micros"`
	Name             string   `json:"name"`
	LinkedModels     []string `json:"linked_models"`
}

func viewApplication(app *pb.Application) application {
	return application{
		InputType:        values.TypeName(app.GetInputType()),
		DefaultOutput:    values.OutputText(app.GetDefaultOutput()),
		LatencySLOMicros: app.GetLatencyObjective().AsDuration().Microseconds(),
		Name:             app.GetName(),
		LinkedModels:     linkedModels(app),
	}
}

func linkedModels(app *pb.Application) []string {
	models := []string{}
	for _, link := range app.GetLinks() {
		models = append(models, link.GetModel())
	}
	return models
}

// model is Clipper's object for a version of one.
type model struct {
	ModelName        string   `json:"model_name"`
	ModelVersion     string   `json:"model_version"`
	InputType        string   `json:"input_type"`
	Labels           []string `json:"labels"`
	ContainerName    string   `json:"container_name"`
	ModelDataPath    string   `json:"model_data_path"`
	IsCurrentVersion bool     `json:"is_current_version"`
}

func viewModel(version *pb.ModelVersion) model {
	return model{
		ModelName:        version.GetModel(),
		ModelVersion:     version.GetVersion(),
		InputType:        values.TypeName(version.GetInputType()),
		Labels:           append([]string{}, version.GetLabels()...),
		ContainerName:    version.GetImage(),
		ModelDataPath:    version.GetDataPath(),
		IsCurrentVersion: version.GetState() == pb.ModelVersion_STATE_ACTIVE,
	}
}

// container is Clipper's object for a replica.
type container struct {
	ModelID        string `json:"model_id"`
	ModelName      string `json:"model_name"`
	ModelVersion   string `json:"model_version"`
	ModelReplicaID int64  `json:"model_replica_id"`
	InputType      string `json:"input_type"`
}

func viewContainer(replica *pb.Replica) container {
	return container{
		ModelID:        replica.GetModel() + ":" + replica.GetVersion(),
		ModelName:      replica.GetModel(),
		ModelVersion:   replica.GetVersion(),
		ModelReplicaID: replica.GetReplicaId(),
		InputType:      values.TypeName(replica.GetInputType()),
	}
}

// inputTypes are Clipper's spellings (contract M17), and those of tensors.
var inputTypes = map[string]pb.InputType{
	"bytes": pb.InputType_INPUT_TYPE_BYTES, "byte": pb.InputType_INPUT_TYPE_BYTES, "b": pb.InputType_INPUT_TYPE_BYTES,

	"integers": pb.InputType_INPUT_TYPE_INTEGERS, "ints": pb.InputType_INPUT_TYPE_INTEGERS,
	"integer": pb.InputType_INPUT_TYPE_INTEGERS, "int": pb.InputType_INPUT_TYPE_INTEGERS, "i": pb.InputType_INPUT_TYPE_INTEGERS,

	"floats": pb.InputType_INPUT_TYPE_FLOATS, "float": pb.InputType_INPUT_TYPE_FLOATS, "f": pb.InputType_INPUT_TYPE_FLOATS,

	"doubles": pb.InputType_INPUT_TYPE_DOUBLES, "double": pb.InputType_INPUT_TYPE_DOUBLES, "d": pb.InputType_INPUT_TYPE_DOUBLES,

	"strings": pb.InputType_INPUT_TYPE_STRINGS, "string": pb.InputType_INPUT_TYPE_STRINGS,
	"strs": pb.InputType_INPUT_TYPE_STRINGS, "str": pb.InputType_INPUT_TYPE_STRINGS, "s": pb.InputType_INPUT_TYPE_STRINGS,

	"tensors": pb.InputType_INPUT_TYPE_TENSORS, "tensor": pb.InputType_INPUT_TYPE_TENSORS,
}

func (b body) inputType() (pb.InputType, error) {
	name, err := b.text("input_type")
	if err != nil {
		return 0, err
	}
	inputType, ok := inputTypes[name]
	if !ok {
		return 0, refused(http.StatusBadRequest,
			"%q is no input type. There are doubles, floats, integers, bytes, strings and tensors.", name)
	}
	return inputType, nil
}
