package fake

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// Inspected is what people see of a frontend.
type Inspected struct {
	pb.UnimplementedInspectServiceServer

	Stats     *pb.GetStatsResponse
	Explained map[int64]*pb.ExplainQueryResponse
	// Unknown is the answer about other queries.
	Unknown error
}

// GetStats tells what was counted.
func (i *Inspected) GetStats(context.Context, *pb.GetStatsRequest) (*pb.GetStatsResponse, error) {
	return i.Stats, nil
}

// ExplainQuery tells of the queries that it knows.
func (i *Inspected) ExplainQuery(_ context.Context, request *pb.ExplainQueryRequest) (*pb.ExplainQueryResponse, error) {
	if found := i.Explained[request.GetQueryId()]; found != nil {
		return found, nil
	}
	return nil, i.Unknown
}

// Register adds the service to a server.
func (i *Inspected) Register(server *grpc.Server) { pb.RegisterInspectServiceServer(server, i) }
