// Command clienttest is a client made from the protos' generated Go alone. It asks a frontend in every way that
// PredictService has, and prints what it got as JSON: tests/integration/test_grpc_clients.py compares that with the answers that
// a Python client gets.
//
//	echo '{"application": "hello-world", "inputs": [{"doubles": {"values": [1, 2]}}]}' | clienttest --frontend 127.0.0.1:7000
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// An answer is what does not differ from one call to the next.
type answer struct {
	Output      json.RawMessage `json:"output,omitempty"`
	Default     bool            `json:"default"`
	Reason      string          `json:"reason"`
	Explanation string          `json:"explanation"`
	Models      []string        `json:"models"`
	// HasID says that there was a query id of the right range.
	HasID bool `json:"has_id"`
	// Error is the code and reason of an error instead of an answer.
	Error string `json:"error,omitempty"`
}

// A report is all that the client has seen.
type report struct {
	InputType string            `json:"input_type"`
	Objective string            `json:"objective"`
	Single    []answer          `json:"single"`
	Batch     []answer          `json:"batch"`
	Stream    map[string]answer `json:"stream"`
	Unknown   string            `json:"unknown_application"`
	Health    string            `json:"health"`
	Services  []string          `json:"services"`
}

func main() {
	frontend := flag.String("frontend", "127.0.0.1:7000", "the frontend, HOST:PORT")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	seen, err := ask(ctx, *frontend, os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		os.Exit(1)
	}
}

func ask(ctx context.Context, frontend string, input io.Reader) (*report, error) {
	text, err := io.ReadAll(input)
	if err != nil {
		return nil, err
	}
	var wanted pb.PredictBatchRequest
	if err := protojson.Unmarshal(text, &wanted); err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(frontend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	client := pb.NewPredictServiceClient(connection)
	seen := &report{Stream: map[string]answer{}}
	described, err := client.DescribeApplication(ctx, &pb.DescribeApplicationRequest{Application: wanted.GetApplication()})
	if err != nil {
		return nil, err
	}
	seen.InputType = described.GetInputType().String()
	seen.Objective = described.GetLatencyObjective().AsDuration().String()
	for _, one := range wanted.GetInputs() {
		response, err := client.Predict(ctx, &pb.PredictRequest{Application: wanted.GetApplication(), Input: one})
		seen.Single = append(seen.Single, answered(response, err))
	}
	batch, err := client.PredictBatch(ctx, &wanted)
	if err != nil {
		seen.Batch = append(seen.Batch, answered(nil, err))
	}
	for _, result := range batch.GetResults() {
		seen.Batch = append(seen.Batch, answered(result.GetPrediction(), status.FromProto(result.GetError()).Err()))
	}
	if err := stream(ctx, client, &wanted, seen); err != nil {
		return nil, err
	}
	_, err = client.Predict(ctx, &pb.PredictRequest{Application: "no-such-application", Input: &pb.Input{}})
	seen.Unknown = codeAndReason(err)
	health, err := healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{Service: "clipper.v1.PredictService"})
	if err != nil {
		return nil, err
	}
	seen.Health = health.GetStatus().String()
	seen.Services, err = services(ctx, connection)
	return seen, err
}

// stream asks for all inputs at once; the tag of each is its index.
func stream(ctx context.Context, client pb.PredictServiceClient, wanted *pb.PredictBatchRequest, seen *report) error {
	call, err := client.PredictStream(ctx)
	if err != nil {
		return err
	}
	for i, one := range wanted.GetInputs() {
		request := &pb.PredictRequest{Application: wanted.GetApplication(), Input: one}
		if err := call.Send(&pb.PredictStreamRequest{Tag: uint64(i), Request: request}); err != nil {
			return err
		}
	}
	if err := call.CloseSend(); err != nil {
		return err
	}
	for {
		response, err := call.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		seen.Stream[fmt.Sprint(response.GetTag())] = answered(response.GetPrediction(), status.FromProto(response.GetError()).Err())
	}
}

func answered(response *pb.PredictResponse, err error) answer {
	if err != nil {
		return answer{Error: codeAndReason(err)}
	}
	output, err := protojson.Marshal(response.GetOutput())
	if err != nil {
		return answer{Error: err.Error()}
	}
	models := []string{}
	for _, contribution := range response.GetContributions() {
		models = append(models, contribution.GetModel()+":"+contribution.GetVersion())
	}
	return answer{
		Output: output, Default: response.GetDefault(), Reason: response.GetDefaultReason().String(),
		Explanation: response.GetDefaultExplanation(), Models: models,
		HasID: response.GetQueryId() > 0 && response.GetQueryId() < 1<<53,
	}
}

func codeAndReason(err error) string {
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return fmt.Sprintf("%v %s", s.Code(), info.GetReason())
		}
	}
	return s.Code().String()
}

// services lists what the server says over reflection.
func services(ctx context.Context, connection *grpc.ClientConn) ([]string, error) {
	call, err := reflectionpb.NewServerReflectionClient(connection).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	if err := call.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	}); err != nil {
		return nil, err
	}
	response, err := call.Recv()
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, service := range response.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	slices.Sort(names)
	return names, call.CloseSend()
}
