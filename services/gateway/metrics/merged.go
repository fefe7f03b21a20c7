package metrics

import (
	"cmp"
	"maps"
	"math"
	"slices"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// Merged is the report of what several frontends have counted, by Clipper's names (contract §1.13).
func Merged(parts []*pb.GetStatsResponse) Report {
	applications, models := map[string]*pb.ApplicationStats{}, map[string]*pb.ModelStats{}
	waits := &distribution{}
	latencies, batches, rows := map[string]*distribution{}, map[string]*distribution{}, map[string]*distribution{}
	for _, part := range parts {
		waits.add(part.GetQueueWait())
		for _, app := range part.GetApplications() {
			name := app.GetApplication()
			into := at(applications, name)
			into.Predictions += app.GetPredictions()
			into.Failures += total(app.GetDefaults()) // of defaults here: nothing else needs them
			addRates(&into.Rates, app.GetRates())
			at(latencies, name).add(app.GetLatency())
		}
		for _, model := range part.GetModels() {
			name := model.GetModel() + ":" + model.GetVersion()
			into := at(models, name)
			into.Predictions += model.GetPredictions()
			into.CacheHits += model.GetCacheHits() + model.GetCacheJoins()
			into.CacheMisses += model.GetCacheMisses()
			addRates(&into.Rates, model.GetRates())
			at(batches, name).add(model.GetBatchLatency())
			at(rows, name).add(model.GetBatchRows())
		}
	}
	report := Report{RatioCounters: []map[string]Ratio{}, Meters: []map[string]Meter{}, Histograms: []map[string]Histogram{}}
	var answers, hits, lookups int64
	var throughput *pb.Rates
	for _, app := range applications {
		answers += app.Predictions + app.Failures
	}
	for _, model := range models {
		hits += model.CacheHits
		lookups += model.CacheHits + model.CacheMisses
		addRates(&throughput, model.Rates)
	}
	report.counter("internal:prediction_cache_lookups", lookups)
	report.counter("internal:aggregate_num_predictions", answers)
	report.ratio("internal:prediction_cache_hit_ratio", hits, lookups)
	report.meter("internal:aggregate_model_throughput", throughput)
	report.histogram("internal:rpc_request_queueing_delay", waits.report("microseconds"))
	for _, name := range slices.Sorted(maps.Keys(applications)) {
		app, prefix := applications[name], "app:"+name+":"
		report.counter(prefix+"num_predictions", app.Predictions+app.Failures)
		report.ratio(prefix+"default_prediction_ratio", app.Failures, app.Predictions+app.Failures)
		report.meter(prefix+"prediction_throughput", app.Rates)
		report.histogram(prefix+"prediction_latency", latencies[name].report("microseconds"))
	}
	for _, name := range slices.Sorted(maps.Keys(models)) {
		model, prefix := models[name], "model:"+name+":"
		report.counter(prefix+"num_predictions", model.Predictions)
		report.ratio(prefix+"cache_hit_ratio", model.CacheHits, model.CacheHits+model.CacheMisses)
		report.meter(prefix+"prediction_throughput", model.Rates)
		report.histogram(prefix+"prediction_latency", batches[name].report("microseconds"))
		report.histogram(prefix+"batch_size", rows[name].report("queries"))
	}
	return report
}

// at is the value of a key, made when it is first asked for.
func at[V any](in map[string]*V, key string) *V {
	found := in[key]
	if found == nil {
		found = new(V)
		in[key] = found
	}
	return found
}

func total(counts map[string]int64) (sum int64) {
	for _, count := range counts {
		sum += count
	}
	return sum
}

func addRates(into **pb.Rates, other *pb.Rates) {
	if *into == nil {
		*into = &pb.Rates{}
	}
	(*into).Mean += other.GetMean()
	(*into).OneMinute += other.GetOneMinute()
	(*into).FiveMinutes += other.GetFiveMinutes()
	(*into).FifteenMinutes += other.GetFifteenMinutes()
}

func (r *Report) counter(name string, count int64) {
	r.Counters = append(r.Counters, map[string]Counter{name: {count}})
}

func (r *Report) ratio(name string, part, whole int64) {
	var ratio *float64
	if whole > 0 {
		value := float64(part) / float64(whole)
		ratio = &value
	}
	r.RatioCounters = append(r.RatioCounters, map[string]Ratio{name: {ratio}})
}

func (r *Report) meter(name string, rates *pb.Rates) {
	r.Meters = append(r.Meters, map[string]Meter{name: {
		Unit: "events per second", Rate: rates.GetMean(), Rate1Min: rates.GetOneMinute(), Rate5Min: rates.GetFiveMinutes(),
		Rate15Min: rates.GetFifteenMinutes(),
	}})
}

func (r *Report) histogram(name string, found Histogram) {
	r.Histograms = append(r.Histograms, map[string]Histogram{name: found})
}

// A distribution is how values fell into buckets.
type distribution struct {
	buckets []*pb.Bucket
	sum     float64
}

func (d *distribution) add(other *pb.Distribution) {
	d.sum += other.GetSum()
	for _, bucket := range other.GetBuckets() {
		same := slices.IndexFunc(d.buckets, func(known *pb.Bucket) bool {
			return known.GetAbove() == bucket.GetAbove() && known.GetAtMost() == bucket.GetAtMost()
		})
		if same >= 0 {
			d.buckets[same].Count += bucket.GetCount()
		} else {
			d.buckets = append(d.buckets, &pb.Bucket{Above: bucket.GetAbove(), AtMost: bucket.GetAtMost(), Count: bucket.GetCount()})
		}
	}
}

// report summarises it; what lies inside of a bucket is taken as spread evenly. The bucket without an upper bound counts
// as that value.
func (d *distribution) report(unit string) Histogram {
	h := Histogram{Unit: unit}
	if d == nil {
		return h
	}
	slices.SortFunc(d.buckets, func(a, b *pb.Bucket) int {
		return cmp.Or(cmp.Compare(a.GetAtMost(), b.GetAtMost()), cmp.Compare(a.GetAbove(), b.GetAbove()))
	})
	var count int64
	for _, bucket := range d.buckets {
		count += bucket.GetCount()
	}
	if count == 0 {
		return h
	}
	h.Size = int(count)
	h.Mean = d.sum / float64(count)
	h.Min, h.Max = d.buckets[0].GetAbove(), top(d.buckets[len(d.buckets)-1])
	for _, bucket := range d.buckets {
		off := (bucket.GetAbove()+top(bucket))/2 - h.Mean
		h.StdDev += off * off * float64(bucket.GetCount()) / float64(count)
	}
	h.StdDev = math.Sqrt(h.StdDev)
	h.P50, h.P95, h.P99 = d.quantile(0.50, count), d.quantile(0.95, count), d.quantile(0.99, count)
	return h
}

func (d *distribution) quantile(share float64, count int64) float64 {
	wanted, below := share*float64(count), 0.0
	for _, bucket := range d.buckets {
		inside := float64(bucket.GetCount())
		if below+inside >= wanted {
			return bucket.GetAbove() + (top(bucket)-bucket.GetAbove())*(wanted-below)/inside
		}
		below += inside
	}
	return top(d.buckets[len(d.buckets)-1])
}

func top(bucket *pb.Bucket) float64 {
	if math.IsInf(bucket.GetAtMost(), 1) {
		return bucket.GetAbove()
	}
	return bucket.GetAtMost()
}
