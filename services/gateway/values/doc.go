// Package values translates between Clipper's JSON and the typed values of clipper.v1 without building trees: a JSON
// array of numbers becomes the bytes of a packed field in one pass, an output becomes JSON text.
//
//	scan.go     a validating JSON scanner: numbers, strings, skipping
//	number.go   exact decimal to binary conversion of scanned numbers
//	input.go    one JSON value -> the wire form of one clipper.v1.Input
//	tensor.go   the same for tensors, and tensors -> JSON
//	body.go     the bodies of /predict and /update
//	output.go   clipper.v1 answers -> JSON text
package values
