// Package metrics counts what the gateway has answered and reports it as Clipper's GET /metrics does: groups of
// one-key objects, with numbers instead of Clipper's strings.
package metrics

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// maxApplications bounds how many applications are told apart.
const maxApplications = 1000

// A Registry holds the metrics of every application. All methods may be called at any time.
type Registry struct {
	now          func() time.Time
	mutex        sync.RWMutex
	applications map[string]*application
	total        atomic.Int64
}

// application holds the metrics of one application.
type application struct {
	mutex       sync.Mutex
	predictions int64
	defaults    int64
	rate        meter
	latency     reservoir
}

// New makes an empty registry. now is the clock.
func New(now func() time.Time) *Registry {
	return &Registry{now: now, applications: map[string]*application{}}
}

// Answered counts answers of an application, some of them default outputs, that were given together after a time.
// Only applications that exist may be named: each has metrics until Forget.
func (r *Registry) Answered(name string, answers, defaults int, after time.Duration) {
	if answers == 0 {
		return
	}
	r.total.Add(int64(answers))
	app := r.application(name)
	if app == nil {
		return
	}
	now := r.now()
	app.mutex.Lock()
	defer app.mutex.Unlock()
	app.predictions += int64(answers)
	app.defaults += int64(defaults)
	app.rate.mark(now, answers)
	app.latency.add(after.Microseconds())
}

func (r *Registry) application(name string) *application {
	r.mutex.RLock()
	app := r.applications[name]
	r.mutex.RUnlock()
	if app != nil {
		return app
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if app = r.applications[name]; app == nil && len(r.applications) < maxApplications {
		app = &application{rate: newMeter(r.now())}
		r.applications[name] = app
	}
	return app
}

// Forget drops the metrics of an application that does not exist any more.
func (r *Registry) Forget(name string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.applications, name)
}

// A Report is the body of GET /metrics.
type Report struct {
	Counters      []map[string]Counter   `json:"counters"`
	RatioCounters []map[string]Ratio     `json:"ratio_counters"`
	Meters        []map[string]Meter     `json:"meters"`
	Histograms    []map[string]Histogram `json:"histograms"`
}

// A Counter only grows.
type Counter struct {
	Count int64 `json:"count"`
}

// A Ratio is null while nothing was counted.
type Ratio struct {
	Ratio *float64 `json:"ratio"`
}

// A Meter shows events per second: since the start, and as moving averages.
type Meter struct {
	Unit      string  `json:"unit"`
	Rate      float64 `json:"rate"`
	Rate1Min  float64 `json:"rate_1min"`
	Rate5Min  float64 `json:"rate_5min"`
	Rate15Min float64 `json:"rate_15min"`
}

// A Histogram summarises the most recent values.
type Histogram struct {
	Unit   string  `json:"unit"`
	Size   int     `json:"size"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"std_dev"`
	P50    float64 `json:"p50"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
}

// Report returns everything, by application name.
func (r *Registry) Report() Report {
	r.mutex.RLock()
	names := make([]string, 0, len(r.applications))
	for name := range r.applications {
		names = append(names, name)
	}
	r.mutex.RUnlock()
	sort.Strings(names)
	report := Report{
		Counters:      []map[string]Counter{{"internal:aggregate_num_predictions": {r.total.Load()}}},
		RatioCounters: []map[string]Ratio{},
		Meters:        []map[string]Meter{},
		Histograms:    []map[string]Histogram{},
	}
	for _, name := range names {
		r.mutex.RLock()
		app := r.applications[name]
		r.mutex.RUnlock()
		if app != nil {
			app.report("app:"+name+":", r.now(), &report)
		}
	}
	return report
}

func (a *application) report(prefix string, now time.Time, to *Report) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	to.Counters = append(to.Counters, map[string]Counter{prefix + "num_predictions": {a.predictions}})
	var ratio *float64
	if a.predictions > 0 {
		value := float64(a.defaults) / float64(a.predictions)
		ratio = &value
	}
	to.RatioCounters = append(to.RatioCounters, map[string]Ratio{prefix + "default_prediction_ratio": {ratio}})
	to.Meters = append(to.Meters, map[string]Meter{prefix + "prediction_throughput": a.rate.report(now)})
	to.Histograms = append(to.Histograms, map[string]Histogram{prefix + "prediction_latency": a.latency.report("microseconds")})
}
