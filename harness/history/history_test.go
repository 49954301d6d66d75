package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sample() (Header, []Op) {
	h := Header{
		Format: Format, Version: Version, Run: "r1", Raftcheck: "v0", Seed: 1 << 63,
		Started:  time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Workload: "register", Model: "cas-register", System: "raftkv",
		Nodes: []string{"n1", "n2"}, Images: map[string]string{"n1": "sha256:0"},
		Functions: []string{"read"}, Faults: []string{"kill"}, Restart: true,
		RecoveryLimit: time.Second, Config: json.RawMessage(`{"a":[1,2]}`),
		Extra: map[string]json.RawMessage{"later": json.RawMessage(`{"x":1}`)},
	}
	ops := []Op{
		{Process: 0, Type: Invoke, F: "write", Key: "k", Value: json.RawMessage("17"), Node: "n1"},
		{Process: Nemesis, Type: Invoke, F: "kill", Value: json.RawMessage(`{"step":1}`), Time: 5},
		{Process: 0, Type: Ok, F: "write", Key: "k", Value: json.RawMessage("17"),
			Time: 1e9, Start: 10, Node: "n1"},
		{Process: 7, Type: Invoke, F: "read", Key: "ü\"\\\n\x01\x7f", Time: 1e9 + 1},
		{Process: 7, Type: Fail, F: "read", Key: "ü\"\\\n\x01\x7f", Time: 2e9 + 1,
			Error: "timed out: \"…\"\t", Extra: map[string]json.RawMessage{
				"b": json.RawMessage(`[1,{"c":"}"}]`), "a": json.RawMessage("null")}},
		{Process: Observer, Type: Info, F: "phase", Value: json.RawMessage(`"done"`), Time: 3e9},
		{Process: 8, Type: Ok, F: "read", Value: json.RawMessage("null"), Time: 4e9},
		{Process: 9, Type: Info, F: "write", Value: json.RawMessage(`"a \"b\""`), Time: 4e9},
		{Process: 10, Type: Info, F: "", Value: json.RawMessage(`-1.5e3`), Time: 4e9},
	}
	for i := range ops {
		ops[i].Index = int64(i)
	}
	return h, ops
}

func record(t testing.TB, path string, h Header, ops []Op) {
	t.Helper()
	r, err := Create(path, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range ops {
		if err := r.Append(op); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	h, ops := sample()
	for _, name := range []string{"h.jsonl", "h.jsonl.zst"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			record(t, path, h, ops)
			got, err := ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := &History{Header: h, Ops: ops, Complete: true}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
			if _, err := Create(path, h); err == nil {
				t.Error("an old history was overwritten")
			}
		})
	}
}

// TestLinesAreJSON holds the lines written by hand against encoding/json.
func TestLinesAreJSON(t *testing.T) {
	_, ops := sample()
	for _, op := range ops {
		line, err := appendOp(nil, &op)
		if err != nil {
			t.Fatal(err)
		}
		var got Op
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got.Extra = op.Extra
		if diff := cmp.Diff(op, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestRefusedToRecord(t *testing.T) {
	good := Op{Process: 1, Type: Ok, F: "read"}
	tests := []struct {
		name   string
		change func(*Op)
	}{
		{"no type", func(op *Op) { op.Type = 0 }},
		{"no such process", func(op *Op) { op.Process = -3 }},
		{"a value that is no JSON", func(op *Op) { op.Value = json.RawMessage("{") }},
		{"two values", func(op *Op) { op.Value = json.RawMessage("1 2") }},
		{"a value that is not UTF-8", func(op *Op) { op.Value = json.RawMessage("\"\xff\"") }},
		{"an extra field that is known", func(op *Op) {
			op.Extra = map[string]json.RawMessage{"key": json.RawMessage("1")}
		}},
		{"a negative time", func(op *Op) { op.Time = -1 }},
		{"a line that is too long", func(op *Op) {
			op.Error = strings.Repeat("x", MaxLine)
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var buf bytes.Buffer
			r, err := NewRecorder(&buf, Header{})
			if err != nil {
				t.Fatal(err)
			}
			op := good
			tc.change(&op)
			if err := r.Append(op); err == nil {
				t.Error("it was recorded")
			}
			if err := r.Append(good); err != nil {
				t.Errorf("after that a good one: %v", err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			h, err := Read(&buf)
			if err != nil || len(h.Ops) != 1 || !h.Complete {
				t.Errorf("got %v, %v; want the good operation alone", h, err)
			}
		})
	}
}

// TestCutAnywhere cuts a history at every byte. It is judged, and nothing but the end is missing.
func TestCutAnywhere(t *testing.T) {
	h, ops := sample()
	for _, name := range []string{"h.jsonl", "h.jsonl.zst"} {
		path := filepath.Join(t.TempDir(), name)
		record(t, path, h, ops)
		all, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		last := -1
		for n := range all {
			got, err := Read(bytes.NewReader(all[:n]))
			if err != nil {
				if last >= 0 {
					t.Fatalf("%s cut at %d of %d: %v", name, n, len(all), err)
				}
				if !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrNotHistory) {
					t.Fatalf("%s cut at %d: %v", name, n, err)
				}
				continue
			}
			if len(got.Ops) < last {
				t.Fatalf("%s cut at %d has fewer operations than before: %d", name, n, len(got.Ops))
			}
			last = len(got.Ops)
			if diff := cmp.Diff(ops[:last], got.Ops, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s cut at %d (-want +got):\n%s", name, n, diff)
			}
			if got.Complete && last < len(ops) {
				t.Fatalf("%s cut at %d claims to be complete", name, n)
			}
		}
		if last != len(ops) {
			t.Errorf("%s: at most %d of %d operations were read", name, last, len(ops))
		}
	}
}

func TestRefusedToRead(t *testing.T) {
	header := `{"format":"raftcheck-history","version":1,"seed":1}` + "\n"
	op := func(i int) string {
		return fmt.Sprintf(`{"index":%d,"process":0,"type":"invoke","f":"read","time_ns":1}`+"\n", i)
	}
	tests := []struct {
		name, file string
		kind       error
		line       int
		says       string
	}{
		{"nothing at all", "", ErrEmpty, 0, "empty"},
		{"another format", `{"format":"other","version":1}` + "\n", ErrNotHistory, 1, "no header"},
		{"no JSON", "hello\n", ErrNotHistory, 1, "no header"},
		{"NUL bytes", strings.Repeat("\x00", 5000), ErrNotHistory, 1, "no header"},
		{"a newer version", `{"format":"raftcheck-history","version":2}` + "\n", ErrVersion, 1,
			"version 2"},
		{"half a header", header[:40], ErrNotHistory, 1, "cut short"},
		{"a field of a wrong type in the header",
			`{"format":"raftcheck-history","version":1,"nodes":3}` + "\n", ErrCorrupt, 1, "nodes"},
		{"a line that is no JSON", header + op(0) + "x\n" + op(1), ErrCorrupt, 3, "object"},
		{"NUL bytes in the middle", header + "\x00\x00\n" + op(0), ErrCorrupt, 2, ""},
		{"an operation that is missing", header + op(0) + op(2), ErrCorrupt, 3, "index 2"},
		{"an operation that is there twice", header + op(0) + op(0), ErrCorrupt, 3, "index 0"},
		{"an empty line", header + op(0) + "\n" + op(1), ErrCorrupt, 3, "object"},
		{"a field twice", header + `{"index":0,"index":0,"process":0,"type":"ok","f":"",` +
			`"time_ns":1}` + "\n", ErrCorrupt, 2, "twice"},
		{"no time", header + `{"index":0,"process":0,"type":"ok","f":""}` + "\n", ErrCorrupt, 2,
			"time_ns"},
		{"a huge number", header + strings.Replace(op(0), ":1}", ":9223372036854775808}", 1),
			ErrCorrupt, 2, "too large"},
		{"a negative time", header + strings.Replace(op(0), ":1}", ":-1}", 1), ErrCorrupt, 2,
			"integer"},
		{"a process that is none", header + strings.Replace(op(0), `s":0`, `s":"x"`, 1),
			ErrCorrupt, 2, "process"},
		{"a type that is none", header + strings.Replace(op(0), "invoke", "okay", 1),
			ErrCorrupt, 2, "okay"},
		{"invalid UTF-8", header + strings.Replace(op(0), "read", "\xff", 1), ErrCorrupt, 2,
			"UTF-8"},
		{"nesting without end", header + `{"index":0,"value":` + strings.Repeat("[", 1<<20) + "\n",
			ErrCorrupt, 2, "JSON"},
		{"deep nesting", header + `{"index":0,"value":` + strings.Repeat("[", 1<<17) +
			strings.Repeat("]", 1<<17) + "\n", ErrCorrupt, 2, "JSON"},
		{"a line without end", header + strings.Repeat("x", MaxLine+1), ErrCorrupt, 2, "16 MiB"},
		{"a mark that counts wrong", header + op(0) + `{"complete":true,"ops":2}` + "\n",
			ErrCorrupt, 3, "counts 2"},
		{"something after the mark", header + `{"complete":true,"ops":0}` + "\n" + op(0),
			ErrCorrupt, 3, "after the mark"},
		{"two operations on a line", header + strings.TrimSpace(op(0)) + op(1), ErrCorrupt, 2,
			"more after its end"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(tc.file))
			if !errors.Is(err, tc.kind) {
				t.Fatalf("got error %v, want %v", err, tc.kind)
			}
			fe, ok := errors.AsType[*FormatError](err)
			if !ok {
				t.Fatalf("%v is no FormatError", err)
			}
			if fe.Line != tc.line || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %q, want line %d and %q", err, tc.line, tc.says)
			}
			if fe.Hint() == "" {
				t.Error("there is no hint")
			}
		})
	}
}

func TestStreaming(t *testing.T) {
	h, ops := sample()
	path := filepath.Join(t.TempDir(), "h.jsonl")
	record(t, path, h, ops)
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for op, err := range r.All() {
		if err != nil || op.Index != int64(n) {
			t.Fatalf("operation %d: got index %d, %v", n, op.Index, err)
		}
		if n++; n == 2 {
			break
		}
	}
	if op, err := r.Next(); err != nil || op.Index != 2 || r.Line() != 4 {
		t.Errorf("got index %d in line %d, %v; want to go on after a break", op.Index, r.Line(), err)
	}
	for _, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) || !r.Complete() {
		t.Errorf("got %v, complete %v; want the end", err, r.Complete())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestFlushedEachSecond holds that what is more than a second of the run old is in the file.
func TestFlushedEachSecond(t *testing.T) {
	for _, name := range []string{"h.jsonl", "h.jsonl.zst"} {
		path := filepath.Join(t.TempDir(), name)
		r, err := Create(path, Header{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 25 {
			op := Op{Process: 0, Type: Invoke, F: "read", Time: time.Duration(i) * 100 * time.Millisecond}
			if err := r.Append(op); err != nil {
				t.Fatal(err)
			}
		}
		h, err := ReadFile(path)
		if err != nil || len(h.Ops) != 21 || h.Complete {
			t.Errorf("%s: got %v, %v; want the operations of the first two seconds", name, h, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFirstErrorStays holds that a recorder whose file can not be written says so ever after.
func TestFirstErrorStays(t *testing.T) {
	w := &failing{room: 100}
	r, err := NewRecorder(w, Header{})
	if err != nil {
		t.Fatal(err)
	}
	op := Op{Process: 0, Type: Ok, F: "read", Time: 2 * time.Second}
	if err := r.Append(op); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("got %v, want a short write", err)
	}
	w.room = 1 << 20
	if err := errors.Join(r.Append(op), r.Flush(), r.Close()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("afterwards: got %v, want the first error", err)
	}
}

type failing struct{ room int }

func (f *failing) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestCalls(t *testing.T) {
	h := &History{Ops: []Op{
		{Process: 0, Type: Invoke, F: "write", Key: "k", Time: 10},
		{Process: Observer, Type: Info, F: "phase", Time: 11},
		{Process: 1, Type: Invoke, F: "read", Key: "k", Time: 12},
		{Process: 1, Type: Ok, F: "read", Key: "k", Time: 20, Start: 15},
		{Process: 0, Type: Info, F: "write", Key: "k", Time: 21, Start: 5},
		{Process: 1, Type: Invoke, F: "read", Key: "k", Time: 22},
		{Process: 1, Type: Fail, F: "read", Key: "k", Time: 23, Start: 99},
		{Process: 2, Type: Invoke, F: "read", Key: "k", Time: 24},
	}}
	want := []Call{
		{Invoke: 0, Done: 4, From: 10, To: Never, Outcome: Info},
		{Invoke: 2, Done: 3, From: 15, To: 20, Outcome: Ok},
		{Invoke: 5, Done: 6, From: 22, To: 23, Outcome: Fail},
		{Invoke: 7, Done: -1, From: 24, To: Never, Outcome: Info},
	}
	got, err := h.Calls()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestCallsRefused(t *testing.T) {
	begin := Op{Process: 0, Type: Invoke, F: "write", Key: "k", Time: 10}
	end := Op{Process: 0, Type: Ok, F: "write", Key: "k", Time: 12}
	early, other := end, end
	early.Time = 9
	other.F = "read"
	tests := []struct {
		name string
		ops  []Op
		line int
		says string
	}{
		{"two at once", []Op{begin, begin}, 3, "while its operation 0"},
		{"an end without a beginning", []Op{end}, 2, "did not begin"},
		{"two ends", []Op{begin, end, end}, 4, "did not begin"},
		{"the end of something else", []Op{begin, other}, 3, `ends a read of "k"`},
		{"an end before the beginning", []Op{begin, early}, 3, "before it began"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := (&History{Ops: tc.ops}).Calls()
			fe, ok := errors.AsType[*FormatError](err)
			if !ok || fe.Line != tc.line || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want line %d and %q", err, tc.line, tc.says)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	op := func(at time.Duration, typ Type, f, value string) Op {
		return Op{Process: Nemesis, Type: typ, F: f, Value: json.RawMessage(value), Time: at}
	}
	h := &History{Ops: []Op{
		op(1, Invoke, "kill", `{"step":1,"action":"inject"}`),
		op(2, Info, "kill", `{"step":1,"action":"inject","outcome":"installed","nodes":["n1"]}`),
		op(3, Info, "cut", `{"step":2,"action":"inject","outcome":"indeterminate"}`),
		op(4, Info, "cut", `{"step":3,"action":"inject","outcome":"skipped"}`),
		op(5, Info, "kill", `{"step":1,"action":"heal","outcome":"indeterminate"}`),
		op(6, Info, "kill", `{"step":1,"action":"heal","outcome":"healed"}`),
		op(7, Info, "heal", `{"step":0,"action":"heal","outcome":"healed"}`),
		op(8, Info, "cut", `{"step":4,"action":"inject","outcome":"installed"}`),
	}}
	want := []Fault{
		{Name: "kill", Step: 1, Nodes: []string{"n1"}, Installed: true, Asked: 1, From: 2, To: 6},
		{Name: "cut", Step: 2, Asked: 3, From: 3, To: 7},
		{Name: "cut", Step: 4, Installed: true, Asked: 8, From: 8, To: Never},
	}
	if diff := cmp.Diff(want, h.Faults()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzRead(f *testing.F) {
	h, ops := sample()
	var buf bytes.Buffer
	r, err := NewRecorder(&buf, h)
	if err != nil {
		f.Fatal(err)
	}
	for _, op := range ops {
		if err := r.Append(op); err != nil {
			f.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(slices.Clone(buf.Bytes()))
	f.Add([]byte(`{"format":"raftcheck-history","version":1,"seed":1}` + "\n" +
		` {"time_ns" : 1 , "f":"\u0061","type":"ok","process":3,"index":0 , "x":[] } ` + "\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := Read(bytes.NewReader(file))
		if err != nil {
			return
		}
		if _, err := h.Calls(); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("calls: %v", err)
		}
		var out bytes.Buffer
		r, err := NewRecorder(&out, h.Header)
		if err != nil {
			t.Fatalf("write back the header: %v", err)
		}
		for _, op := range h.Ops {
			if err := r.Append(op); err != nil {
				t.Fatalf("write back operation %d: %v", op.Index, err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out)
		if err != nil {
			t.Fatalf("read back: %v", err)
		}
		if len(again.Ops) != len(h.Ops) {
			t.Fatalf("%d operations became %d", len(h.Ops), len(again.Ops))
		}
		for i := range h.Ops {
			a, b := h.Ops[i], again.Ops[i]
			if a.F != b.F || a.Key != b.Key || a.Time != b.Time || a.Error != b.Error ||
				a.Process != b.Process || a.Type != b.Type || a.Start != b.Start {
				t.Fatalf("operation %d: %v became %v", i, a, b)
			}
		}
	})
}
