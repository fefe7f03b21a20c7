package values

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// AppendPrediction appends an answer as Clipper's REST gives it; with its timing, if that was asked for, and who has
// answered.
func AppendPrediction(json []byte, answer *pb.PredictResponse) []byte {
	json = append(json, `{"query_id":`...)
	json = strconv.AppendInt(json, answer.GetQueryId(), 10)
	json = append(json, `,"output":`...)
	json = AppendOutput(json, answer.GetOutput())
	json = append(json, `,"default":`...)
	json = strconv.AppendBool(json, answer.GetDefault())
	if answer.GetDefault() {
		json = append(json, `,"default_explanation":`...)
		json = AppendString(json, answer.GetDefaultExplanation())
	}
	if timing := answer.GetTiming(); timing != nil {
		json = append(json, `,"confidence":`...)
		json = appendFloat(json, answer.GetConfidence(), 64)
		json = append(json, `,"contributions":`...)
		json = appendAll(json, answer.GetContributions(), appendContribution)
		json = append(json, `,"timing":`...)
		json = appendTiming(json, timing)
	}
	return append(json, '}')
}

func appendContribution(json []byte, part *pb.Contribution) []byte {
	json = append(json, `{"model":`...)
	json = AppendString(json, part.GetModel())
	json = append(json, `,"version":`...)
	json = AppendString(json, part.GetVersion())
	json = append(json, `,"replica_id":`...)
	json = strconv.AppendInt(json, part.GetReplicaId(), 10)
	json = append(json, `,"weight":`...)
	json = appendFloat(json, part.GetWeight(), 64)
	json = append(json, `,"latency_us":`...)
	json = strconv.AppendInt(json, part.GetLatencyUs(), 10)
	json = append(json, `,"cached":`...)
	json = strconv.AppendBool(json, part.GetCached())
	json = append(json, `,"joined":`...)
	json = strconv.AppendBool(json, part.GetJoined())
	return append(json, '}')
}

func appendTiming(json []byte, timing *pb.Timing) []byte {
	json = append(json, `{"queue_us":`...)
	json = strconv.AppendInt(json, timing.GetQueueUs(), 10)
	json = append(json, `,"linger_us":`...)
	json = strconv.AppendInt(json, timing.GetLingerUs(), 10)
	json = append(json, `,"batch_rows":`...)
	json = strconv.AppendInt(json, int64(timing.GetBatchRows()), 10)
	json = append(json, `,"model_us":`...)
	json = strconv.AppendInt(json, timing.GetModelUs(), 10)
	json = append(json, `,"network_us":`...)
	json = strconv.AppendInt(json, timing.GetNetworkUs(), 10)
	json = append(json, `,"total_us":`...)
	json = strconv.AppendInt(json, timing.GetTotalUs(), 10)
	return append(json, '}')
}

// ServerTiming is a timing as the value of a Server-Timing header (W3C), which browsers show; empty without one.
func ServerTiming(answer *pb.PredictResponse) string {
	timing := answer.GetTiming()
	if timing == nil {
		return ""
	}
	value := make([]byte, 0, 128)
	for _, part := range []struct {
		name   string
		micros int64
	}{
		{"queue", timing.GetQueueUs()}, {"linger", timing.GetLingerUs()}, {"model", timing.GetModelUs()},
		{"network", timing.GetNetworkUs()}, {"total", timing.GetTotalUs()},
	} {
		if len(value) > 0 {
			value = append(value, ", "...)
		}
		value = append(value, part.name...)
		value = append(value, ";dur="...)
		value = strconv.AppendFloat(value, float64(part.micros)/1000, 'f', -1, 64)
	}
	return string(value)
}

// AppendOutput appends an output as JSON: text that is JSON as that, other text as a string, NaN and infinities as null.
func AppendOutput(json []byte, output *pb.Output) []byte {
	switch value := output.GetValue().(type) {
	case *pb.Output_String_:
		return appendTextOrJSON(json, value.String_)
	case *pb.Output_Json:
		return appendTextOrJSON(json, value.Json)
	case *pb.Output_Number:
		return appendFloat(json, value.Number, 64)
	case *pb.Output_Bytes:
		json = append(json, '"')
		json = base64.StdEncoding.AppendEncode(json, value.Bytes)
		return append(json, '"')
	case *pb.Output_Doubles:
		return appendAll(json, value.Doubles.GetValues(), func(json []byte, value float64) []byte {
			return appendFloat(json, value, 64)
		})
	case *pb.Output_Floats:
		return appendAll(json, value.Floats.GetValues(), func(json []byte, value float32) []byte {
			return appendFloat(json, float64(value), 32)
		})
	case *pb.Output_Integers:
		return appendAll(json, value.Integers.GetValues(), func(json []byte, value int32) []byte {
			return strconv.AppendInt(json, int64(value), 10)
		})
	case *pb.Output_Tensor:
		return appendTensor(json, value.Tensor)
	default:
		return append(json, "null"...)
	}
}

// OutputText is an output as Clipper's administration shows it: text as it is, anything else as JSON.
func OutputText(output *pb.Output) string {
	switch value := output.GetValue().(type) {
	case nil:
		return ""
	case *pb.Output_String_:
		return value.String_
	default:
		return string(AppendOutput(nil, output))
	}
}

func appendTextOrJSON(json []byte, text string) []byte {
	if raw := []byte(text); isJSON(raw) {
		return append(json, bytes.TrimSpace(raw)...)
	}
	return AppendString(json, text)
}

func appendAll[V any](json []byte, values []V, appendOne func([]byte, V) []byte) []byte {
	json = append(json, '[')
	for i, value := range values {
		if i > 0 {
			json = append(json, ',')
		}
		json = appendOne(json, value)
	}
	return append(json, ']')
}

// appendFloat appends the shortest decimal that reads back as the same number, as ECMAScript writes it.
func appendFloat(json []byte, value float64, bits int) []byte {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return append(json, "null"...)
	}
	format := byte('f')
	if size := math.Abs(value); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(json, value, format, -1, bits)
}

const hexDigits = "0123456789abcdef"

// AppendString appends a JSON string.
func AppendString(json []byte, text string) []byte {
	json = append(json, '"')
	done := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			if char, size := utf8.DecodeRuneInString(text[i:]); char == utf8.RuneError && size == 1 {
				json = append(json, text[done:i]...)
				json = append(json, "\uFFFD"...)
				i++
				done = i
			} else {
				i += size
			}
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		json = append(json, text[done:i]...)
		switch c {
		case '"', '\\':
			json = append(json, '\\', c)
		case '\n':
			json = append(json, '\\', 'n')
		case '\r':
			json = append(json, '\\', 'r')
		case '\t':
			json = append(json, '\\', 't')
		default:
			json = append(json, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		done = i
	}
	json = append(json, text[done:]...)
	return append(json, '"')
}
