// Package fake has a frontend and a manager in memory, for tests of the gateway.
package fake

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// Fail makes the error that Clipper's processes answer with.
func Fail(code codes.Code, reason, message string, retryAfter time.Duration) error {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: "clipper.v1"}}
	if retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	s, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// A Frontend answers queries with the sum of numbers, or the length of text and bytes.
type Frontend struct {
	pb.UnimplementedPredictServiceServer
	pb.UnimplementedFeedbackServiceServer

	mutex        sync.Mutex
	applications map[string]pb.InputType
	// Answer, where it is set, answers instead.
	Answer func(context.Context, *pb.PredictRequest) (*pb.PredictResponse, error)
	// Described counts calls of DescribeApplication.
	Described atomic.Int64

	lastID       atomic.Int64
	lastMetadata atomic.Value
	lastFeedback atomic.Value
}

// Set makes an application exist, Delete ends it.
func (f *Frontend) Set(name string, inputType pb.InputType) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.applications == nil {
		f.applications = map[string]pb.InputType{}
	}
	f.applications[name] = inputType
}

// Delete ends an application.
func (f *Frontend) Delete(name string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.applications, name)
}

// Metadata is that of the last query.
func (f *Frontend) Metadata() metadata.MD { return f.lastMetadata.Load().(metadata.MD) }

// Feedback is the last that was sent.
func (f *Frontend) Feedback() *pb.SendFeedbackRequest {
	return f.lastFeedback.Load().(*pb.SendFeedbackRequest)
}

func (f *Frontend) inputType(name string) (pb.InputType, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	inputType, ok := f.applications[name]
	if !ok {
		return 0, Fail(codes.NotFound, "APPLICATION_NOT_FOUND", fmt.Sprintf("No application %q.", name), 0)
	}
	return inputType, nil
}

// DescribeApplication tells the input type.
func (f *Frontend) DescribeApplication(
	_ context.Context, request *pb.DescribeApplicationRequest,
) (*pb.DescribeApplicationResponse, error) {
	f.Described.Add(1)
	inputType, err := f.inputType(request.GetApplication())
	return &pb.DescribeApplicationResponse{
		Application: request.GetApplication(), InputType: inputType, LatencyObjective: durationpb.New(100 * time.Millisecond),
	}, err
}

// Predict answers one query.
func (f *Frontend) Predict(ctx context.Context, request *pb.PredictRequest) (*pb.PredictResponse, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	f.lastMetadata.Store(sent)
	return f.predict(ctx, request)
}

func (f *Frontend) predict(ctx context.Context, request *pb.PredictRequest) (*pb.PredictResponse, error) {
	inputType, err := f.inputType(request.GetApplication())
	if err != nil {
		return nil, err
	}
	if f.Answer != nil {
		return f.Answer(ctx, request)
	}
	answer, got := evaluate(request.GetInput())
	if got != inputType {
		return nil, Fail(codes.InvalidArgument, "INPUT_TYPE_MISMATCH", fmt.Sprintf("takes %v, not %v", inputType, got), 0)
	}
	return &pb.PredictResponse{
		QueryId: f.lastID.Add(1), Output: &pb.Output{Value: &pb.Output_Number{Number: answer}}, Confidence: 1,
		Contributions: []*pb.Contribution{{Model: "sum-model", Version: "1", Weight: 1, LatencyUs: 900}},
	}, nil
}

func evaluate(input *pb.Input) (answer float64, inputType pb.InputType) {
	switch value := input.GetValue().(type) {
	case *pb.Input_Doubles:
		for _, v := range value.Doubles.GetValues() {
			answer += v
		}
		return answer, pb.InputType_INPUT_TYPE_DOUBLES
	case *pb.Input_Floats:
		for _, v := range value.Floats.GetValues() {
			answer += float64(v)
		}
		return answer, pb.InputType_INPUT_TYPE_FLOATS
	case *pb.Input_Integers:
		for _, v := range value.Integers.GetValues() {
			answer += float64(v)
		}
		return answer, pb.InputType_INPUT_TYPE_INTEGERS
	case *pb.Input_String_:
		return float64(len(value.String_)), pb.InputType_INPUT_TYPE_STRINGS
	case *pb.Input_Bytes:
		return float64(len(value.Bytes)), pb.InputType_INPUT_TYPE_BYTES
	case *pb.Input_Tensor:
		return float64(len(value.Tensor.GetData())), pb.InputType_INPUT_TYPE_TENSORS
	default:
		return 0, pb.InputType_INPUT_TYPE_UNSPECIFIED
	}
}

// PredictBatch answers each input as Predict does.
func (f *Frontend) PredictBatch(ctx context.Context, request *pb.PredictBatchRequest) (*pb.PredictBatchResponse, error) {
	if _, err := f.inputType(request.GetApplication()); err != nil {
		return nil, err
	}
	response := &pb.PredictBatchResponse{}
	for _, input := range request.GetInputs() {
		result := &pb.PredictBatchResult{}
		answer, err := f.predict(ctx, &pb.PredictRequest{
			Application: request.GetApplication(), Input: input, Version: request.GetVersion(), Context: request.GetContext(),
		})
		if status.Code(err) == codes.InvalidArgument {
			return nil, err
		}
		if err != nil {
			result.Outcome = &pb.PredictBatchResult_Error{Error: status.Convert(err).Proto()}
		} else {
			result.Outcome = &pb.PredictBatchResult_Prediction{Prediction: answer}
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

// SendFeedback remembers what was sent.
func (f *Frontend) SendFeedback(_ context.Context, request *pb.SendFeedbackRequest) (*pb.SendFeedbackResponse, error) {
	if _, err := f.inputType(request.GetApplication()); err != nil {
		return nil, err
	}
	f.lastFeedback.Store(request)
	return &pb.SendFeedbackResponse{}, nil
}

// A Server is a gRPC server of a test.
type Server struct {
	Address string
	Health  *health.Server
	grpc    *grpc.Server
}

// Serve starts a server at an address (port 0 picks a free one) with some services and health.
func Serve(address string, register func(*grpc.Server)) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{Address: listener.Addr().String(), Health: health.NewServer(), grpc: grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))}
	healthpb.RegisterHealthServer(s.grpc, s.Health)
	register(s.grpc)
	go func() {
		if err := s.grpc.Serve(listener); err != nil && !strings.Contains(err.Error(), "closed") {
			panic(err)
		}
	}()
	return s, nil
}

// Stop ends it at once.
func (s *Server) Stop() { s.grpc.Stop() }

// Register adds the frontend's services to a server.
func (f *Frontend) Register(server *grpc.Server) {
	pb.RegisterPredictServiceServer(server, f)
	pb.RegisterFeedbackServiceServer(server, f)
}
