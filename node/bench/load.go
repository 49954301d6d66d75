package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is what one measurement gave.
type result struct {
	perSecond  float64
	p50, p99   time.Duration
	cpu        time.Duration // of the nodes, per operation
	syncsPerOp float64
}

const header = "     ops/s       p50       p99    cpu/op  syncs/op"

func (r result) String() string {
	return fmt.Sprintf("%10.0f %9s %9s %9s %9.3f", r.perSecond, r.p50.Round(time.Microsecond),
		r.p99.Round(time.Microsecond), r.cpu.Round(100*time.Nanosecond), r.syncsPerOp)
}

func median(rs []result) result {
	pick := func(less func(a, b result) int) result {
		sorted := slices.SortedFunc(slices.Values(rs), less)
		return sorted[len(sorted)/2]
	}
	return result{
		perSecond: pick(func(a, b result) int { return int(a.perSecond - b.perSecond) }).perSecond,
		p50:       pick(func(a, b result) int { return int(a.p50 - b.p50) }).p50,
		p99:       pick(func(a, b result) int { return int(a.p99 - b.p99) }).p99,
		cpu:       pick(func(a, b result) int { return int(a.cpu - b.cpu) }).cpu,
		syncsPerOp: pick(func(a, b result) int {
			return int(1e6 * (a.syncsPerOp - b.syncsPerOp))
		}).syncsPerOp,
	}
}

const keys = 10000

// measure lets n clients work, each one operation after the other, after a short warm-up.
func (b *bench) measure(ctx context.Context, s system, op string, n int, countSyncs bool,
) (result, error) {
	workers := make([]worker, n)
	for i := range workers {
		var err error
		if workers[i], err = s.worker(i, n); err != nil {
			return result{}, err
		}
	}
	if _, err := b.run(ctx, workers, op, b.length/6); err != nil {
		return result{}, err
	}
	cpu, syncs, err := usage(s, countSyncs)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	times, err := b.run(ctx, workers, op, b.length)
	if err != nil {
		return result{}, err
	}
	took := time.Since(began)
	cpuAfter, syncsAfter, err := usage(s, countSyncs)
	if err != nil {
		return result{}, err
	}
	slices.Sort(times)
	ops := max(len(times), 1)
	return result{
		perSecond: float64(len(times)) / took.Seconds(),
		p50:       times[ops/2], p99: times[ops*99/100],
		cpu:        (cpuAfter - cpu) / time.Duration(ops),
		syncsPerOp: float64(syncsAfter-syncs) / float64(ops),
	}, nil
}

func (b *bench) run(ctx context.Context, workers []worker, op string, length time.Duration,
) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, length+10*time.Second)
	defer cancel()
	deadline := time.Now().Add(length)
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() {
			var times []time.Duration
			var err error
			for k := i; err == nil; k += len(workers) {
				began := time.Now()
				if began.After(deadline) {
					break
				}
				key := fmt.Sprintf("%08d", k*7919%keys)
				if op == "put" {
					err = w.put(ctx, key, b.value)
				} else {
					err = w.get(ctx, key)
				}
				times = append(times, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return all, failed
}

// usage is the processor time and the number of syncs of all nodes so far.
func usage(s system, countSyncs bool) (cpu time.Duration, syncs uint64, err error) {
	for _, pid := range s.pids() {
		t, err := processorTime(pid)
		if err != nil {
			return 0, 0, err
		}
		cpu += t
	}
	if countSyncs {
		syncs, err = s.syncs()
	}
	return cpu, syncs, err
}

// processorTime reads user and system time; the kernel counts in hundredths of a second.
func processorTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("stat of %d: %w, %w", pid, err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}
