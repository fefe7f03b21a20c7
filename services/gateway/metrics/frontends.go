package metrics

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

const (
	// askTimeout bounds the questions behind one GET /metrics.
	askTimeout = 2 * time.Second
	// knownFor is how long the list of frontends is not asked for again.
	knownFor = 5 * time.Second
)

// A Connection leads to one frontend.
type Connection interface {
	grpc.ClientConnInterface
	Close() error
}

// Frontends are all frontends of the cluster, as the manager knows them.
type Frontends struct {
	manager    pb.AdminServiceClient
	configured []string
	dial       func(address string) (Connection, error)

	mutex       sync.Mutex
	connections map[string]Connection
	addresses   []string
	learned     time.Time
}

// NewFrontends knows none yet. configured are those that the gateway itself talks to, for while no manager answers.
func NewFrontends(
	manager pb.AdminServiceClient, configured []string, dial func(address string) (Connection, error),
) *Frontends {
	return &Frontends{manager: manager, configured: configured, dial: dial, connections: map[string]Connection{}}
}

// Told is what one frontend has counted.
type Told struct {
	Address string
	Stats   *pb.GetStatsResponse
}

// Stats are what the frontends that answer have counted.
func (f *Frontends) Stats(ctx context.Context) []*pb.GetStatsResponse {
	var found []*pb.GetStatsResponse
	for _, told := range f.Each(ctx) {
		found = append(found, told.Stats)
	}
	return found
}

// Each is what each frontend that answers has counted.
func (f *Frontends) Each(ctx context.Context) []Told {
	var found []Told
	for _, answer := range ask(ctx, f, pb.InspectServiceClient.GetStats, &pb.GetStatsRequest{}) {
		if answer.err == nil { // one that does not answer is left out: it may be about to stop
			found = append(found, Told{answer.address, answer.response})
		}
	}
	return found
}

// An answer is what one frontend says to a question.
type answer[R any] struct {
	address  string
	response R
	err      error
}

// ask puts one question to all frontends at once.
func ask[Q, R any](
	ctx context.Context, f *Frontends, method func(pb.InspectServiceClient, context.Context, Q, ...grpc.CallOption) (R, error), question Q,
) []answer[R] {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	reached := f.reached(ctx)
	answers := make([]answer[R], len(reached))
	var asking sync.WaitGroup
	for i, each := range reached {
		asking.Go(func() {
			response, err := method(pb.NewInspectServiceClient(each), ctx, question)
			answers[i] = answer[R]{each.address, response, err}
		})
	}
	asking.Wait()
	return answers
}

// A frontend is a connection to one, and where it leads.
type frontend struct {
	Connection
	address string
}

// reached returns a connection to each frontend.
func (f *Frontends) reached(ctx context.Context) []frontend {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if time.Since(f.learned) > knownFor {
		f.learn(ctx)
	}
	var found []frontend
	for _, address := range f.addresses {
		connection := f.connections[address]
		if connection == nil {
			made, err := f.dial(address)
			if err != nil {
				continue
			}
			connection = made
			f.connections[address] = made
		}
		found = append(found, frontend{connection, address})
	}
	return found
}

// learn asks the manager which frontends there are, and closes the connections to others. While it does not answer,
// those that were known stay.
func (f *Frontends) learn(ctx context.Context) {
	answer, err := f.manager.ListInstances(ctx, &pb.ListInstancesRequest{PageSize: 1000})
	if err != nil {
		if len(f.addresses) == 0 {
			f.addresses = f.configured
		}
		return
	}
	f.learned = time.Now()
	f.addresses = nil
	seen := map[string]bool{}
	for _, instance := range answer.GetInstances() {
		address := instance.GetAddress()
		if instance.GetKind() == pb.Instance_KIND_FRONTEND && !seen[address] { // workers share one
			seen[address] = true
			f.addresses = append(f.addresses, address)
		}
	}
	for address, connection := range f.connections {
		if !seen[address] {
			_ = connection.Close()
			delete(f.connections, address)
		}
	}
}

// Close ends the connections.
func (f *Frontends) Close() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, connection := range f.connections {
		_ = connection.Close()
	}
}
