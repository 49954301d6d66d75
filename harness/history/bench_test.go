package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func benchOps(n int) []Op {
	ops := make([]Op, n)
	for i := range ops {
		typ := Invoke
		if i%2 == 1 {
			typ = Ok
		}
		ops[i] = Op{
			Process: Process(i / 2 % 10), Type: typ, F: "write", Key: fmt.Sprintf("k%d", i/2%20),
			Value: json.RawMessage(fmt.Sprint(i / 2)), Time: time.Duration(i) * 1000,
			Start: time.Duration(i % 2 * i * 999), Node: fmt.Sprintf("n%d", i/2%5+1),
		}
	}
	return ops
}

// BenchmarkRecorder appends to a file, and to nothing. It reports lines a second, the quantiles of
// one Append, and how often faster that is than encoding/json with the same writer.
func BenchmarkRecorder(b *testing.B) {
	for _, name := range []string{"file", "discard"} {
		b.Run(name, func(b *testing.B) { benchRecorder(b, benchOps(1000), name == "file") })
	}
}

func benchRecorder(b *testing.B, ops []Op, toFile bool) {
	create := func(name string) io.Writer {
		if !toFile {
			return io.Discard
		}
		f, err := os.Create(filepath.Join(b.TempDir(), name))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		return f
	}
	out := bufio.NewWriterSize(create("json"), 1<<16)
	enc := json.NewEncoder(out)
	begin := time.Now()
	for range 200 {
		for i := range ops {
			if err := enc.Encode(&ops[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	byJSON := time.Since(begin) / time.Duration(200*len(ops))
	r, err := NewRecorder(create("h.jsonl"), Header{})
	if err != nil {
		b.Fatal(err)
	}
	took := make([]time.Duration, 0, 1<<20)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		op := &ops[n%len(ops)]
		if n++; n%16 != 0 || len(took) == cap(took) {
			if err := r.Append(*op); err != nil {
				b.Fatal(err)
			}
			continue
		}
		begin := time.Now()
		if err := r.Append(*op); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	perOp := b.Elapsed() / time.Duration(max(b.N, 1))
	b.ReportMetric(1e9/float64(perOp+1), "lines/s")
	if slices.Sort(took); len(took) > 0 {
		b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
		b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
	}
	b.ReportMetric(float64(byJSON)/float64(perOp+1), "x-encoding/json")
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead reads a history that is in memory.
func BenchmarkRead(b *testing.B) {
	var buf bytes.Buffer
	r, err := NewRecorder(&buf, Header{})
	if err != nil {
		b.Fatal(err)
	}
	ops := benchOps(100_000)
	for _, op := range ops {
		if err := r.Append(op); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(buf.Len()))
	b.ReportAllocs()
	for b.Loop() {
		h, err := Read(bytes.NewReader(buf.Bytes()))
		if err != nil || len(h.Ops) != len(ops) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(ops))*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
