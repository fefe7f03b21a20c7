package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// A ListenError is an address that cannot be listened on.
type ListenError struct {
	Port, Address string
	Cause         error
}

func (e *ListenError) Error() string {
	hint := ""
	if errors.Is(e.Cause, syscall.EADDRINUSE) {
		hint = fmt.Sprintf(" Something else listens there; choose another address with --%s-listen (port 0 picks a free one).", e.Port)
	}
	cause := e.Cause
	var system *os.SyscallError
	if errors.As(cause, &system) {
		cause = system.Err
	}
	return fmt.Sprintf("The %s port cannot listen on %s: %v.%s", e.Port, e.Address, cause, hint)
}

func (e *ListenError) Unwrap() error { return e.Cause }

// Run serves ports at addresses until the context ends, then drains them: health says so first, after delay no
// connection is taken any more, and requests under way have grace to end. ready is called once all ports listen.
func Run(ctx context.Context, ports []*Port, addresses []string, delay, grace time.Duration, ready func() error) error {
	for i, port := range ports {
		if err := port.Listen(addresses[i]); err != nil {
			return &ListenError{Port: port.Name, Address: addresses[i], Cause: err}
		}
	}
	failed := make(chan error, len(ports))
	for _, port := range ports {
		go func() { failed <- port.Serve() }()
	}
	err := ready()
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	for _, port := range ports {
		port.Drain()
	}
	if err == nil {
		time.Sleep(delay)
	}
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var ends sync.WaitGroup
	for _, port := range ports {
		ends.Go(func() { port.Shutdown(ending) })
	}
	ends.Wait()
	return err
}
