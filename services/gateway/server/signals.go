package server

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// A Stop tells which signal ended the context of UntilSignal.
type Stop struct{ received chan syscall.Signal }

// UntilSignal returns a context that SIGTERM or SIGINT ends. A second signal ends the process at once.
func UntilSignal() (context.Context, *Stop) {
	ctx, cancel := context.WithCancel(context.Background())
	stop := &Stop{received: make(chan syscall.Signal, 1)}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		received := (<-signals).(syscall.Signal)
		stop.received <- received
		signal.Reset(syscall.SIGTERM, syscall.SIGINT)
		cancel()
	}()
	return ctx, stop
}

// Raise ends the process by the signal that it got, so that its parent sees why. It returns if there was none.
func (s *Stop) Raise() {
	select {
	case received := <-s.received:
		_ = syscall.Kill(syscall.Getpid(), received)
		// The first process of a container is not ended by a signal that it does not handle.
		time.Sleep(time.Second)
		os.Exit(128 + int(received))
	default:
	}
}
