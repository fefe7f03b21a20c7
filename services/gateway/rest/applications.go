package rest

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/problem"
)

// An Application is what the gateway must know of one to translate its queries.
type Application struct {
	InputType pb.InputType
	// Objective is the time within which the frontend answers.
	Objective time.Duration

	learned time.Time
}

// Applications remembers what the frontend said of applications. An entry that turned out wrong is learned anew (Refresh), one
// of a deleted application dropped (Forget); one that has grown old is learned anew beside the queries that use it.
type Applications struct {
	client pb.PredictServiceClient
	mutex  sync.RWMutex
	known  map[string]Application
	asking singleflight.Group
}

const (
	// maxKnown bounds how many applications are remembered.
	maxKnown = 10_000
	// oldAfter is when an entry is learned anew: an objective may have changed.
	oldAfter = 30 * time.Second
	// doubtAfter is when an entry may be the reason of a body that does not fit. Younger ones are trusted, so that
	// clients that send bad bodies do not make the gateway ask for each.
	doubtAfter = time.Second
	// describeTimeout bounds one question.
	describeTimeout = 5 * time.Second
)

// NewApplications remembers nothing yet.
func NewApplications(client pb.PredictServiceClient) *Applications {
	return &Applications{client: client, known: map[string]Application{}}
}

// Get returns what is known of an application, asking the frontend where it must.
func (a *Applications) Get(ctx context.Context, name string) (Application, error) {
	a.mutex.RLock()
	app, ok := a.known[name]
	a.mutex.RUnlock()
	if !ok {
		return a.Refresh(ctx, name)
	}
	if time.Since(app.learned) > oldAfter {
		a.asking.DoChan(name, a.ask(name)) // nobody waits for it; the queries that come meanwhile join it
	}
	return app, nil
}

// Refresh asks the frontend. Callers that ask for the same application at the same time share one question.
func (a *Applications) Refresh(ctx context.Context, name string) (Application, error) {
	select {
	case result := <-a.asking.DoChan(name, a.ask(name)):
		if result.Err != nil {
			return Application{}, result.Err
		}
		return result.Val.(Application), nil
	case <-ctx.Done():
		return Application{}, ctx.Err()
	}
}

// ask is a question on its own time: who joins it must not depend on the caller that came first.
func (a *Applications) ask(name string) func() (any, error) {
	return func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), describeTimeout)
		defer cancel()
		described, err := a.client.DescribeApplication(ctx, &pb.DescribeApplicationRequest{Application: name})
		if err != nil {
			if problem.Reason(err) == problem.ReasonApplicationNotFound {
				a.Forget(name)
			}
			return nil, err
		}
		app := Application{
			InputType: described.GetInputType(),
			Objective: described.GetLatencyObjective().AsDuration(),
			learned:   time.Now(),
		}
		a.remember(name, app)
		return app, nil
	}
}

func (a *Applications) remember(name string, app Application) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if _, ok := a.known[name]; !ok && len(a.known) >= maxKnown {
		for other := range a.known { // any one: it is learned anew when needed
			delete(a.known, other)
			break
		}
	}
	a.known[name] = app
}

// Forget drops an application that does not exist any more.
func (a *Applications) Forget(name string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	delete(a.known, name)
}
