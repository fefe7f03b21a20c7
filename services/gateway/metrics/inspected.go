package metrics

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// Inspected is the InspectService of one frontend, but for queries: of those each frontend knows its own, so all are asked.
type Inspected struct {
	pb.InspectServiceClient
	Frontends *Frontends
}

// ExplainQuery answers with what the frontend says that remembers the query; with an error of one if none does, and
// rather with that of one that did not answer: it may be the one that knows.
func (i Inspected) ExplainQuery(
	ctx context.Context, request *pb.ExplainQueryRequest, _ ...grpc.CallOption,
) (*pb.ExplainQueryResponse, error) {
	var failed error
	for _, answer := range ask(ctx, i.Frontends, pb.InspectServiceClient.ExplainQuery, request) {
		if answer.err == nil {
			return answer.response, nil
		}
		if failed == nil || status.Code(failed) == codes.NotFound {
			failed = answer.err
		}
	}
	if failed == nil {
		failed = status.Error(codes.Unavailable, "No frontend has registered: nobody answers queries.")
	}
	return nil, failed
}
