package metrics

import (
	"math"
	"slices"
	"time"
)

// meter counts events per second, as the Unix load average does: every 5 s the rate of the last interval is mixed into
// three averages with weights that decay over 1, 5 and 15 minutes. Ticks are caught up when it is used: an idle meter
// costs nothing.
type meter struct {
	start, tick time.Time
	count       int64
	pending     int64
	averages    [3]float64
	hasAverages bool
}

const tick = 5 * time.Second

var decays = [3]float64{decay(1), decay(5), decay(15)}

func decay(minutes float64) float64 { return math.Exp(-tick.Minutes() / minutes) }

func newMeter(now time.Time) meter { return meter{start: now, tick: now} }

func (m *meter) mark(now time.Time, events int) {
	m.catchUp(now)
	m.count += int64(events)
	m.pending += int64(events)
}

func (m *meter) catchUp(now time.Time) {
	ticks := int(now.Sub(m.tick) / tick)
	if ticks < 1 {
		return
	}
	m.tick = m.tick.Add(time.Duration(ticks) * tick)
	rate := float64(m.pending) / tick.Seconds()
	m.pending = 0
	for i, d := range decays {
		if m.hasAverages {
			m.averages[i] = rate + (m.averages[i]-rate)*d
		} else {
			m.averages[i] = rate
		}
		m.averages[i] *= math.Pow(d, float64(ticks-1)) // the other ticks saw nothing
	}
	m.hasAverages = true
}

func (m *meter) report(now time.Time) Meter {
	m.catchUp(now)
	report := Meter{
		Unit: "events per second", Rate1Min: m.averages[0], Rate5Min: m.averages[1], Rate15Min: m.averages[2],
	}
	if elapsed := now.Sub(m.start).Seconds(); elapsed > 0 {
		report.Rate = float64(m.count) / elapsed
	}
	return report
}

// reservoirSize is Clipper's.
const reservoirSize = 4096

// reservoir holds the most recent values.
type reservoir struct {
	values []int64
	next   int
}

func (r *reservoir) add(value int64) {
	if len(r.values) < reservoirSize {
		r.values = append(r.values, value)
		return
	}
	r.values[r.next] = value
	r.next = (r.next + 1) % reservoirSize
}

func (r *reservoir) report(unit string) Histogram {
	h := Histogram{Unit: unit, Size: len(r.values)}
	if h.Size == 0 {
		return h
	}
	sorted := slices.Sorted(slices.Values(r.values))
	for _, value := range sorted {
		h.Mean += float64(value) / float64(h.Size)
	}
	for _, value := range sorted {
		h.StdDev += (float64(value) - h.Mean) * (float64(value) - h.Mean) / float64(h.Size)
	}
	h.StdDev = math.Sqrt(h.StdDev)
	h.Min, h.Max = float64(sorted[0]), float64(sorted[h.Size-1])
	h.P50, h.P95, h.P99 = percentile(sorted, 0.50), percentile(sorted, 0.95), percentile(sorted, 0.99)
	return h
}

// percentile interpolates between the two values next to the rank.
func percentile(sorted []int64, share float64) float64 {
	rank := share * float64(len(sorted)-1)
	low := int(rank)
	high := min(low+1, len(sorted)-1)
	return float64(sorted[low]) + (rank-float64(low))*float64(sorted[high]-sorted[low])
}
