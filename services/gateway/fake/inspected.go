package fake

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// Inspected is what people see of a frontend.
type Inspected struct {
	pb.UnimplementedInspectServiceServer

	mutex sync.Mutex
	Stats *pb.GetStatsResponse
	// Grow, where it is set, is done to Stats before each look at them.
	Grow      func(*pb.GetStatsResponse)
	Explained map[int64]*pb.ExplainQueryResponse
	// Unknown is the answer about other queries.
	Unknown error
}

// GetStats tells what was counted.
func (i *Inspected) GetStats(context.Context, *pb.GetStatsRequest) (*pb.GetStatsResponse, error) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if i.Grow != nil {
		i.Grow(i.Stats)
	}
	return proto.CloneOf(i.Stats), nil
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
