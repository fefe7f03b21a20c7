package main

import (
	"fmt"
	"math"

	clipperv1 "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// inputType is what the model takes. For another one, change it together with numbersOf in service.go.
const inputType = clipperv1.InputType_INPUT_TYPE_DOUBLES

// predict is the model: the root of the sum of a vector. It is called by several goroutines at once.
func predict(numbers []float64) (float64, error) {
	sum := 0.0
	for _, number := range numbers {
		sum += number
	}
	if sum < 0 {
		return 0, fmt.Errorf("the sum is %g: a negative number has no root", sum)
	}
	return math.Sqrt(sum), nil
}
