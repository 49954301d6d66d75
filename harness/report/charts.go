package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The size of a chart's drawing. It is stretched to the page's width; only the ratio of what is in
// it counts.
const (
	chartWide = 1000.0
	chartHigh = 200.0
)

// charts are latency, rate and errors over the run's time.
type charts struct {
	// P50 to Max, and Ok to Info, are SVG paths.
	P50, P95, P99, Max string
	Ok, Fail, Info     string
	Latency, Rate      []yTick
	Bands              []band
	// Data is what is shown under the pointer.
	Data chartData
}

// yTick is a mark on a vertical axis; At is its distance from the top, in percent.
type yTick struct {
	At    float64
	Label string
}

// band is a fault behind a chart.
type band struct {
	bar
	X, Wide float64
}

// chartData is the series as the page's script reads it: the width of a bucket in microseconds,
// and for each bucket ok, fail, info, p50, p95, p99 and max, the latter four in microseconds.
type chartData struct {
	Width   int64      `json:"width"`
	Buckets [][7]int64 `json:"buckets"`
}

// newCharts draws the charts, or nothing if there is nothing to draw.
func newCharts(r *Report) *charts {
	s, end := r.series, r.Figures.Duration
	if len(s.buckets) == 0 || r.Figures.Total.All() == 0 {
		return nil
	}
	c := &charts{Data: chartData{Width: micros(s.width), Buckets: [][7]int64{}}}
	for _, b := range s.buckets {
		c.Data.Buckets = append(c.Data.Buckets, [7]int64{int64(b.ok), int64(b.fail), int64(b.info),
			micros(b.p50), micros(b.p95), micros(b.p99), micros(b.max)})
	}
	x := func(d time.Duration) float64 { return chartWide * float64(d) / float64(end) }
	for _, f := range r.Faults[:min(len(r.Faults), pageFaults)] {
		if f.Outcome != Skipped {
			c.Bands = append(c.Bands, band{faultBar(f), x(f.From), max(x(f.To)-x(f.From), 1)})
		}
	}
	c.latency(s, x)
	c.rate(s, x, end)
	return c
}

// latency draws the quantiles on a logarithmic axis: a fault moves them by a factor of a thousand.
func (c *charts) latency(s series, x func(time.Duration) float64) {
	lo, hi := time.Duration(math.MaxInt64), time.Duration(0)
	for _, b := range s.buckets {
		if b.max > 0 {
			lo, hi = min(lo, max(b.p50, time.Microsecond)), max(hi, b.max)
		}
	}
	if hi == 0 {
		return
	}
	from, to := math.Floor(log10(lo)), math.Ceil(log10(hi))
	to = max(to, from+1)
	y := func(d time.Duration) float64 {
		return chartHigh * (1 - (log10(max(d, 1))-from)/(to-from))
	}
	for e := from; e <= to; e++ {
		d := time.Duration(math.Round(math.Pow(10, e)))
		c.Latency = append(c.Latency, yTick{percent(y(d)), short(d)})
	}
	draw := func(get func(bucket) time.Duration) string {
		var p strings.Builder
		pen := false
		for i, b := range s.buckets {
			if b.ok == 0 {
				pen = false
				continue
			}
			mid := x(time.Duration(i)*s.width + s.width/2)
			if !pen {
				// A lone point would not be seen: a line begins with a short stroke.
				fmt.Fprintf(&p, "M%.1f %.1f", mid-1, y(get(b)))
				pen = true
			}
			fmt.Fprintf(&p, "L%.1f %.1f", mid, y(get(b)))
		}
		return p.String()
	}
	c.P50 = draw(func(b bucket) time.Duration { return b.p50 })
	c.P95 = draw(func(b bucket) time.Duration { return b.p95 })
	c.P99 = draw(func(b bucket) time.Duration { return b.p99 })
	c.Max = draw(func(b bucket) time.Duration { return b.max })
}

func log10(d time.Duration) float64 { return math.Log10(float64(d)) }

// short writes a power of ten of a nanosecond.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%g s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%g ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%g us", float64(d)/1e3)
}

// rate draws how many operations a second ended, one kind upon the other.
func (c *charts) rate(s series, x func(time.Duration) float64, end time.Duration) {
	most := 0
	for _, b := range s.buckets {
		most = max(most, b.ok+b.fail+b.info)
	}
	perSecond := func(n int) float64 { return float64(n) / s.width.Seconds() }
	top := niceTop(perSecond(most))
	y := func(n int) float64 { return chartHigh * (1 - perSecond(n)/top) }
	for i := range 5 {
		v := top * float64(i) / 4
		c.Rate = append(c.Rate, yTick{percent(chartHigh * (1 - v/top)), fmt.Sprintf("%g/s", v)})
	}
	var ok, fail, info strings.Builder
	for i, b := range s.buckets {
		a := x(time.Duration(i) * s.width)
		z := x(min(time.Duration(i+1)*s.width, end))
		box(&ok, a, z, chartHigh, y(b.ok))
		box(&info, a, z, y(b.ok), y(b.ok+b.info))
		box(&fail, a, z, y(b.ok+b.info), y(b.ok+b.info+b.fail))
	}
	c.Ok, c.Fail, c.Info = ok.String(), fail.String(), info.String()
}

// box adds a rectangle to a path, unless it has no height.
func box(p *strings.Builder, a, z, base, top float64) {
	if base-top < 0.05 {
		return
	}
	fmt.Fprintf(p, "M%.1f %.1fV%.1fH%.1fV%.1fZ", a, base, top, z, base)
}

// niceTop is the next round number that can be quartered for the marks of an axis.
func niceTop(v float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{4, 8, 12, 20, 32} {
			if v <= n*unit {
				return n * unit
			}
		}
	}
}

func percent(y float64) float64 { return math.Round(y/chartHigh*1000) / 10 }
