package check

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// appliedLog is the trace of a node that applied these puts and cas, "put k 1" or "cas k 1 2", from
// index 1 on, in term 1. The digest is the number of the entry.
func appliedLog(node string, entries ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"seq":1,"node":%q,"ev":"start"}`+"\n", node)
	for i, e := range entries {
		w := strings.Fields(e)
		fields := fmt.Sprintf(`"op":"put","key":%q,"value":%q`, w[1], w[2])
		if w[0] == "cas" {
			fields = fmt.Sprintf(`"op":"cas","key":%q,"old":%q,"value":%q`, w[1], w[2], w[3])
		}
		fmt.Fprintf(&b, `{"seq":%d,"node":%q,"ev":"apply","term":1,"index":%d,"digest":"%d",%s}`+"\n",
			i+2, node, i+1, i+1, fields)
	}
	return b.String()
}

// calls makes a history: "write k 1 ok", each operation after the one before.
func sequence(lines ...string) *history.History {
	h := &history.History{}
	add := func(op history.Op, typ history.Type, value string) {
		op.Type, op.Index, op.Time = typ, int64(len(h.Ops)), time.Duration(len(h.Ops)+1)
		op.Value = []byte(value)
		h.Ops = append(h.Ops, op)
	}
	types := map[string]history.Type{"ok": history.Ok, "fail": history.Fail, "info": history.Info}
	for i, l := range lines {
		w := strings.Fields(l)
		op := history.Op{Process: history.Process(i), F: w[0], Key: w[1], Node: "n1"}
		argument, answer := w[2], ""
		switch w[0] {
		case "read":
			argument, answer = "", w[2]
		case "cas":
			answer = w[4]
		}
		add(op, history.Invoke, argument)
		add(op, types[w[3]], answer)
	}
	return h
}

func TestReexecutionHoldsEveryAnswerAgainstTheLog(t *testing.T) {
	log := []string{"put k 1", "put k 2", "cas k 2 3", "cas k 2 4", "put j 9"}
	for _, c := range []struct {
		name  string
		log   []string
		ops   []string
		class string // "" for none
	}{
		{"all is well", log, []string{"read k null ok", "write k 1 ok", "read k 1 ok",
			"write k 2 info", "read k 2 ok", `cas k [2,3] ok {"swapped":true}`,
			`cas k [2,4] ok {"swapped":false}`, "write j 9 ok", "read k 3 ok"}, ""},
		{"an indeterminate write is nowhere", log, []string{"write k 7 info", "write j 9 ok"}, ""},
		{"a failed write is nowhere", log, []string{"write k 7 fail", "write j 9 ok"}, ""},
		{"the trace ends before the history", log, []string{"write j 9 ok", "write k 7 ok"}, ""},
		{"an acknowledged write is lost", log, []string{"write k 7 ok", "write j 9 ok"},
			"acknowledged but not in the log"},
		{"a failed write is in the log", log, []string{"write k 1 fail"}, "failed but in the log"},
		{"a write is in the log twice", append([]string{"put j 9"}, log...),
			[]string{"write j 9 ok"}, "executed twice"},
		{"a read is stale", log, []string{"write k 1 ok", "write k 2 ok", "read k 1 ok"},
			"stale read"},
		{"a read is stale by what another key showed", log, []string{"read j 9 ok", "read k 2 ok"},
			"stale read"},
		{"absence is stale", log, []string{"write k 1 ok", "read k null ok"}, "stale read"},
		{"a read saw what was never written", log, []string{"read k 8 ok"}, "phantom value"},
		{"a read saw what a cas did not put there", log, []string{"read k 4 ok"}, "phantom value"},
		{"a cas says that it swapped and did not", log,
			[]string{`cas k [2,4] ok {"swapped":true}`}, "another answer than the log's"},
		{"a cas says that it did not swap and did", log,
			[]string{`cas k [2,3] ok {"swapped":false}`}, "another answer than the log's"},
		{"two writes are in the wrong order", log, []string{"write k 2 ok", "write k 1 ok"},
			"against real time"},
		{"a write was seen before it began", log, []string{"read k 2 ok", "write k 2 info"},
			"against real time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := traceInput(map[string]string{"n1": appliedLog("n1", c.log[:2]...),
				"n2": appliedLog("n2", c.log...)})
			in.History = sequence(c.ops...)
			r := reexecution{}.Check(t.Context(), in)
			switch {
			case c.class == "" && r.Validity != Valid:
				t.Errorf("%s: %s", r.Validity, r.Reason)
			case c.class != "" && (r.Validity != Invalid || r.Findings[0].Class != c.class):
				t.Errorf("%s, %+v; want %q", r.Validity, r.Findings, c.class)
			}
		})
	}
}

func TestWhatCannotBeReexecutedIsNotObservable(t *testing.T) {
	whole := appliedLog("n1", "put k 1", "put k 2")
	for name, c := range map[string]struct{ log, op string }{
		"a hole":             {strings.Replace(whole, `"index":1`, `"index":3`, 1), "write k 2 ok"},
		"another operation":  {whole, "append k 2 ok"},
		"another command":    {strings.Replace(whole, `"put"`, `"txn"`, 1), "write k 2 ok"},
		"a session":          {strings.Replace(whole, `"op"`, `"session":4,"op"`, 1), "write k 2 ok"},
		"no applied entries": {events("n1", "start"), "write k 2 ok"},
	} {
		in := traceInput(map[string]string{"n1": c.log})
		in.History = sequence(c.op)
		r := reexecution{}.Check(t.Context(), in)
		if r.Validity != NotObservable || r.Reason == "" {
			t.Errorf("%s: %s, %q", name, r.Validity, r.Reason)
		}
	}
}

func TestAppliedEntriesAreHeldAgainstEachOther(t *testing.T) {
	one := appliedLog("n1", "put k 1", "put k 2")
	for _, c := range []struct{ name, other, class string }{
		{"a node that is behind", appliedLog("n2", "put k 1"), ""},
		{"a restart applies anew", appliedLog("n2", "put k 1") + appliedLog("n2", "put k 1"), ""},
		{"another entry", appliedLog("n2", "put k 1", "put k 3"), "two entries applied"},
		{"another term", strings.Replace(appliedLog("n2", "put k 1"), `"term":1`, `"term":2`, 1),
			"two entries applied"},
		{"another state", strings.Replace(appliedLog("n2", "put k 1"), `"digest":"1"`,
			`"digest":"f"`, 1), "replicas differ"},
		{"an index twice", strings.Replace(appliedLog("n2", "put k 1", "put k 1"), `"index":2`,
			`"index":1`, 1), "entry applied twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sameEntries{}.Check(t.Context(), traceInput(map[string]string{
				"n1": one, "n2": c.other,
			}))
			switch {
			case c.class == "" && r.Validity != Valid:
				t.Errorf("%s: %s", r.Validity, r.Reason)
			case c.class != "" && (r.Validity != Invalid || r.Findings[0].Class != c.class):
				t.Errorf("%s, %+v", r.Validity, r.Findings)
			}
		})
	}
}

func BenchmarkReexecution(b *testing.B) {
	var log strings.Builder
	const n = 1_000_000
	log.WriteString(`{"seq":1,"node":"n1","ev":"start"}` + "\n")
	for i := range n {
		fmt.Fprintf(&log, `{"seq":%d,"node":"n1","ev":"apply","term":1,"index":%d,"digest":"1",`+
			`"op":"put","key":"k%d","value":"%d"}`+"\n", i+2, i+1, i%20, i)
	}
	in := &Input{History: sequence("write k0 0 ok"), Dir: fstest.MapFS{
		"nodes/n1.log": {Data: []byte(log.String())},
	}}
	in.Promises.Nodes = []string{"n1"}
	for b.Loop() {
		if r := (reexecution{}).Check(b.Context(), in); r.Validity != Valid {
			b.Fatal(r.Reason)
		}
	}
}
