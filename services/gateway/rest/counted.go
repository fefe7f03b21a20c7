package rest

import (
	"context"
	"time"

	"google.golang.org/grpc"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// Counted is a client whose answers are counted: the AIP routes use it, so that metrics know every answer.
type Counted struct {
	pb.PredictServiceClient
	Metrics Metrics
}

// Predict asks and counts.
func (c Counted) Predict(
	ctx context.Context, request *pb.PredictRequest, options ...grpc.CallOption,
) (*pb.PredictResponse, error) {
	start := time.Now()
	answer, err := c.PredictServiceClient.Predict(ctx, request, options...)
	if err == nil {
		c.Metrics.Answered(request.GetApplication(), 1, countDefault(answer), time.Since(start))
	}
	return answer, err
}

// PredictBatch asks and counts.
func (c Counted) PredictBatch(
	ctx context.Context, request *pb.PredictBatchRequest, options ...grpc.CallOption,
) (*pb.PredictBatchResponse, error) {
	start := time.Now()
	batch, err := c.PredictServiceClient.PredictBatch(ctx, request, options...)
	answers, defaults := 0, 0
	for _, result := range batch.GetResults() {
		if answer := result.GetPrediction(); answer != nil {
			answers++
			defaults += countDefault(answer)
		}
	}
	if answers > 0 {
		c.Metrics.Answered(request.GetApplication(), answers, defaults, time.Since(start))
	}
	return batch, err
}
