package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	modelv1 "github.com/clipper-serve/clipper/services/gateway/gen/clipper/model/v1"
	clipperv1 "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// The longest kind and message of an error that the contract allows.
const (
	maxKindBytes = 128
	maxTextBytes = 512
)

// service serves a model that answers one input at a time. Every input gets its own result or error; none takes the
// others with it.
type service struct {
	modelv1.UnimplementedModelServiceServer
	name, version string
	predict       func([]float64) (float64, error)
}

// GetModelInfo describes the model.
func (s *service) GetModelInfo(context.Context, *modelv1.GetModelInfoRequest) (*modelv1.GetModelInfoResponse, error) {
	return &modelv1.GetModelInfoResponse{
		Model: s.name, Version: s.version, InputType: inputType, Runtime: "go_runtime (" + runtime.Version() + ")",
	}, nil
}

// Predict computes a batch, until it is done or nobody waits any more.
func (s *service) Predict(ctx context.Context, request *modelv1.PredictRequest) (*modelv1.PredictResponse, error) {
	if len(request.Inputs) == 0 {
		return nil, status.Error(codes.InvalidArgument, "inputs: a batch has at least one")
	}
	start := time.Now()
	results := make([]*modelv1.PredictResult, len(request.Inputs))
	for at, input := range request.Inputs {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		results[at] = s.answer(input)
	}
	return &modelv1.PredictResponse{Results: results, ModelUs: time.Since(start).Microseconds()}, nil
}

// answer is the outcome of one input. A model that panics fails for that input alone.
func (s *service) answer(input *clipperv1.Input) (result *modelv1.PredictResult) {
	defer func() {
		if cause := recover(); cause != nil {
			result = failure("panic", fmt.Sprint(cause))
		}
	}()
	numbers, err := numbersOf(input)
	if err != nil {
		return failure("InvalidInput", err.Error())
	}
	number, err := s.predict(numbers)
	if err != nil {
		return failure(fmt.Sprintf("%T", err), err.Error())
	}
	output := &clipperv1.Output{Value: &clipperv1.Output_Number{Number: number}}
	return &modelv1.PredictResult{Outcome: &modelv1.PredictResult_Output{Output: output}}
}

func numbersOf(input *clipperv1.Input) ([]float64, error) {
	doubles, ok := input.GetValue().(*clipperv1.Input_Doubles)
	if !ok {
		return nil, fmt.Errorf("the model takes doubles, not %T", input.GetValue())
	}
	return doubles.Doubles.GetValues(), nil
}

func failure(kind, message string) *modelv1.PredictResult {
	told := &modelv1.PredictError{
		Kind:    clipped(kind, maxKindBytes),
		Message: clipped(strings.Join(strings.Fields(message), " "), maxTextBytes),
	}
	return &modelv1.PredictResult{Outcome: &modelv1.PredictResult_Error{Error: told}}
}

// clipped is text of at most so many bytes, cut between characters.
func clipped(text string, bytes int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= bytes {
		return text
	}
	for bytes > 0 && !utf8.RuneStart(text[bytes]) {
		bytes--
	}
	return text[:bytes]
}
