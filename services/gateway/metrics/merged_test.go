package metrics

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

func part(predictions, defaults, hits int64) *pb.GetStatsResponse {
	latency := &pb.Distribution{Sum: 300 * float64(predictions+defaults), Buckets: []*pb.Bucket{
		{Above: 200, AtMost: 400, Count: predictions + defaults},
	}}
	return &pb.GetStatsResponse{
		Processes: 1,
		Applications: []*pb.ApplicationStats{{
			Application: "app", Predictions: predictions, Defaults: map[string]int64{"LATE": defaults},
			Rates: &pb.Rates{Mean: 1, OneMinute: 2, FiveMinutes: 3, FifteenMinutes: 4}, Latency: latency,
		}},
		Models: []*pb.ModelStats{{
			Model: "m", Version: "1", Predictions: predictions, Rates: &pb.Rates{Mean: 1}, BatchLatency: latency,
			BatchRows: &pb.Distribution{Sum: 8, Buckets: []*pb.Bucket{{Above: 4, AtMost: 8, Count: 1}}},
			CacheHits: hits, CacheMisses: predictions,
		}},
		QueueWait: &pb.Distribution{Buckets: []*pb.Bucket{{Above: 5, AtMost: math.Inf(1), Count: 1}}},
	}
}

func TestNumbersOfFrontendsAddUpUnderClippersNames(t *testing.T) {
	text, err := json.Marshal(Merged([]*pb.GetStatsResponse{part(3, 1, 2), part(5, 1, 0)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"internal:prediction_cache_lookups":{"count":10}}`,
		`{"internal:aggregate_num_predictions":{"count":10}}`,
		`{"app:app:num_predictions":{"count":10}}`,
		`{"model:m:1:num_predictions":{"count":8}}`,
		`{"internal:prediction_cache_hit_ratio":{"ratio":0.2}}`,
		`{"app:app:default_prediction_ratio":{"ratio":0.2}}`,
		`{"model:m:1:cache_hit_ratio":{"ratio":0.2}}`,
		`{"internal:aggregate_model_throughput":{"unit":"events per second","rate":2,`,
		`{"app:app:prediction_throughput":{"unit":"events per second","rate":2,"rate_1min":4,"rate_5min":6,"rate_15min":8}}`,
		`"model:m:1:prediction_throughput"`,
		`"app:app:prediction_latency":{"unit":"microseconds","size":10,"min":200,"max":400,"mean":300,`,
		`"p50":300,"p95":390,`,
		`"model:m:1:prediction_latency":{"unit":"microseconds"`,
		`"model:m:1:batch_size":{"unit":"queries","size":2,"min":4,"max":8,"mean":8,`,
		`"internal:rpc_request_queueing_delay":{"unit":"microseconds","size":2,"min":5,"max":5,`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestNothingCountedGivesNoRatioAndEmptyHistograms(t *testing.T) {
	text, err := json.Marshal(Merged([]*pb.GetStatsResponse{{}, part(0, 0, 0)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"app:app:default_prediction_ratio":{"ratio":null}}`,
		`"app:app:prediction_latency":{"unit":"microseconds","size":0,"min":0,`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
