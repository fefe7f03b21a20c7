package metrics

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"
)

type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func TestAnswersAndDefaultsAreCounted(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	r := New(c.read)
	r.Answered("b", 3, 1, time.Millisecond)
	r.Answered("b", 1, 0, 3*time.Millisecond)
	r.Answered("a", 0, 0, time.Millisecond)
	c.now = c.now.Add(2 * time.Second)
	report := r.Report()
	if got := report.Counters[1]["app:b:num_predictions"].Count; got != 4 {
		t.Error(got)
	}
	if got := *report.RatioCounters[0]["app:b:default_prediction_ratio"].Ratio; got != 0.25 {
		t.Error(got)
	}
	if got := report.Meters[0]["app:b:prediction_throughput"].Rate; got != 2 {
		t.Error(got)
	}
	h := report.Histograms[0]["app:b:prediction_latency"]
	if h.Size != 2 || h.Min != 1000 || h.Max != 3000 || h.Mean != 2000 || h.StdDev != 1000 || h.P50 != 2000 || h.P99 != 2980 {
		t.Errorf("%+v", h)
	}
	if !json.Valid(marshalled(t, r)) {
		t.Error("no JSON")
	}
}

func TestApplicationsAreForgottenAndBounded(t *testing.T) {
	r := New(time.Now)
	for i := range maxApplications + 10 {
		r.Answered(fmt.Sprintf("app%d", i), 1, 0, 0)
	}
	if got := len(r.Report().Meters); got != maxApplications {
		t.Error(got)
	}
	if got := r.Report().Counters[0]["internal:aggregate_num_predictions"].Count; got != maxApplications+10 {
		t.Error(got)
	}
	r.Forget("app1")
	if got := len(r.Report().Meters); got != maxApplications-1 {
		t.Error(got)
	}
}

func TestRatesDecayOverTheirMinutes(t *testing.T) {
	start := time.Unix(0, 0)
	m := newMeter(start)
	for i := range 600 { // 10 events per second for a minute
		m.mark(start.Add(time.Duration(i)*100*time.Millisecond), 1)
	}
	report := m.report(start.Add(time.Minute))
	if math.Abs(report.Rate1Min-10) > 0.3 || math.Abs(report.Rate-10) > 0.3 {
		t.Errorf("%+v", report)
	}
	report = m.report(start.Add(2 * time.Minute))
	if math.Abs(report.Rate1Min-10/math.E) > 0.3 || math.Abs(report.Rate15Min-10*math.Exp(-1.0/15)) > 0.3 {
		t.Errorf("%+v", report)
	}
}

func TestHistogramsShowTheMostRecentValues(t *testing.T) {
	var r reservoir
	for i := range int64(3 * reservoirSize) {
		r.add(i)
	}
	if h := r.report("x"); h.Size != reservoirSize || h.Min != 2*reservoirSize || h.Max != 3*reservoirSize-1 {
		t.Errorf("%+v", h)
	}
	if h := (&reservoir{}).report("x"); h.Size != 0 || h.Mean != 0 {
		t.Errorf("%+v", h)
	}
}

func marshalled(t *testing.T, r *Registry) []byte {
	t.Helper()
	text, err := json.Marshal(r.Report())
	if err != nil {
		t.Fatal(err)
	}
	return text
}
