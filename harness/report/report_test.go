package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/report"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference")

var runs = map[string]func(testing.TB) report.Input{
	"valid":   validRun,
	"stale":   func(t testing.TB) report.Input { return staleRun(t, 1) },
	"unknown": unknownRun,
	"short":   shortRun,
	"hostile": hostileRun,
	"nothing": func(testing.TB) report.Input { return report.Input{} },
}

var renderings = map[string]func(*report.Report, io.Writer) error{
	"json": (*report.Report).WriteJSON,
	"html": (*report.Report).WriteHTML,
	"xml":  (*report.Report).WriteJUnit,
	"txt": func(r *report.Report, w io.Writer) error {
		return r.WriteText(w, report.Options{Timeline: true})
	},
	"brief.txt": func(r *report.Report, w io.Writer) error {
		return r.WriteText(w, report.Options{Brief: true})
	},
	"color.txt": func(r *report.Report, w io.Writer) error {
		return r.WriteText(w, report.Options{Brief: true, Color: true})
	},
}

func render(t *testing.T, in report.Input, write func(*report.Report, io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(report.Build(in), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEveryRenderingIsAsItWasRead(t *testing.T) {
	for name, run := range runs {
		for ext, write := range renderings {
			t.Run(name+"."+ext, func(t *testing.T) {
				got := render(t, run(t), write)
				if again := render(t, run(t), write); !bytes.Equal(got, again) {
					t.Error("the same input gave other bytes the second time")
				}
				file := filepath.Join("testdata", name+"."+ext)
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(got), string(want)); d != "" {
					t.Errorf("(-got +want; -update writes it anew)\n%s", d)
				}
			})
		}
	}
}

func TestNoVerdictButValidIsAPassAnywhere(t *testing.T) {
	type counts struct {
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	for _, c := range []struct {
		name     string
		headline string
		want     counts
	}{
		{"valid", "VALID", counts{Skipped: 1}},
		{"stale", "INVALID", counts{Failures: 2, Skipped: 1}},
		{"unknown", "UNKNOWN", counts{Errors: 2, Skipped: 1}},
		{"short", "HARNESS FAILURE", counts{Errors: 1, Skipped: 1}},
		{"nothing", "UNKNOWN", counts{Errors: 1}},
	} {
		in := runs[c.name](t)
		var got struct {
			Suite counts `xml:"testsuite"`
		}
		if err := xml.Unmarshal(render(t, in, renderings["xml"]), &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got.Suite, c.want); d != "" {
			t.Errorf("%s: JUnit (-got +want)\n%s", c.name, d)
		}
		text := string(render(t, in, renderings["txt"]))
		if !strings.HasPrefix(text, c.headline+" ") {
			t.Errorf("%s: text begins %.20q, want %s", c.name, text, c.headline)
		}
		if !bytes.Contains(render(t, in, renderings["html"]), []byte("<h1>"+c.headline+"</h1>")) {
			t.Errorf("%s: the page does not say %s", c.name, c.headline)
		}
	}
}

func TestWhatComesFromTheRunIsShownAndNeverObeyed(t *testing.T) {
	in := hostileRun(t)
	page := string(render(t, in, renderings["html"]))
	// Our own script and the data of the charts; the policy of the page forbids any other.
	if n := strings.Count(page, "<script"); n != 2 {
		t.Errorf("got %d script elements, want 2", n)
	}
	for _, bad := range []string{"<script>alert", "<img", "ZgotmplZ", "</style><"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the page does not show the value as text")
	}
	for _, ext := range []string{"txt", "brief.txt"} {
		for i, c := range render(t, in, renderings[ext]) {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Errorf("%s: byte %d is %q, which a terminal may obey", ext, i, c)
			}
		}
	}
}

func TestThePageNeedsNothingButItself(t *testing.T) {
	page := string(render(t, staleRun(t, 1), renderings["html"]))
	for _, outside := range []string{"http:", "https:", "src=", "@import", "url(", "<link"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page holds %q", outside)
		}
	}
}

func TestThePageStaysSmallForALongRun(t *testing.T) {
	s := newSampler(t)
	for i := range 400 {
		s.fault(i+1, "partition-ring", "all", []string{"n1", "n2", "n3", "n4", "n5"}, i*900, i*900+800)
	}
	s.work(20, 20, 0, 400_000, 1000, 50_000)
	in := staleRun(t, 1)
	in.History = s.done(true)
	in.Results[0].Findings[0].Ops = []int64{0, int64(len(s.ops) - 1)}
	in.Run.Nodes = []string{"n1", "n2", "n3", "n4", "n5"}
	page := render(t, in, renderings["html"])
	t.Logf("%d operations, %d bytes", len(s.ops)/2, len(page))
	if len(page) > 2<<20 {
		t.Errorf("got %d bytes, want at most %d", len(page), 2<<20)
	}
}

func TestJSONIsReadBackAsItWas(t *testing.T) {
	want := report.Build(staleRun(t, 1))
	var got report.Report
	if err := json.Unmarshal(render(t, staleRun(t, 1), renderings["json"]), &got); err != nil {
		t.Fatal(err)
	}
	opts := cmp.Options{
		cmp.FilterPath(func(p cmp.Path) bool {
			f, ok := p.Last().(cmp.StructField)
			return ok && (f.Name() == "series" || f.Name() == "logs" || f.Name() == "Plan")
		}, cmp.Ignore()),
	}
	if d := cmp.Diff(&got, want, opts); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
}

func op(p history.Process, ty history.Type, at int) history.Op {
	return history.Op{Process: p, Type: ty, F: "read", Time: ms(at)}
}

func TestTheLongestTimeWithoutASuccessCountsOnlyWhereThereWasDemand(t *testing.T) {
	const inv, ok, fail, info = history.Invoke, history.Ok, history.Fail, history.Info
	for _, c := range []struct {
		why      string
		ops      []history.Op
		from, to int
	}{
		{"nothing was asked for", nil, 0, 0},
		{"one success takes as long as it takes",
			[]history.Op{op(0, inv, 10), op(0, ok, 14)}, 10, 14},
		{"nobody asked between the two",
			[]history.Op{op(0, inv, 0), op(0, ok, 2), op(0, inv, 900), op(0, ok, 903)}, 900, 903},
		{"a failure ends nothing",
			[]history.Op{op(0, inv, 0), op(0, ok, 2), op(0, inv, 10), op(0, fail, 20),
				op(0, inv, 30), op(0, ok, 40)}, 10, 40},
		{"an operation that was under way counts from the last success",
			[]history.Op{op(0, inv, 0), op(1, inv, 1), op(0, ok, 5), op(1, ok, 50)}, 5, 50},
		{"it never came back",
			[]history.Op{op(0, inv, 0), op(0, ok, 5), op(0, inv, 6), op(0, info, 90)}, 6, 90},
		{"open at the end lasts until the end",
			[]history.Op{op(0, inv, 0), op(0, ok, 5), op(0, inv, 6), op(-2, info, 70)}, 6, 70},
	} {
		got := report.Build(report.Input{History: &history.History{Ops: c.ops}}).Figures.Unavailable
		if want := (report.Span{From: ms(c.from), To: ms(c.to)}); got != want {
			t.Errorf("%s: got %v want %v", c.why, got, want)
		}
	}
}

func TestFiguresCountEachOperationOnce(t *testing.T) {
	h := &history.History{Ops: []history.Op{
		op(0, history.Invoke, 0), op(1, history.Invoke, 0), op(0, history.Ok, 10),
		op(0, history.Invoke, 10), op(1, history.Fail, 12), op(0, history.Info, 20),
		op(2, history.Invoke, 20), op(history.Observer, history.Info, 30), // one is open
	}}
	got := report.Build(report.Input{History: h}).Figures.Total
	want := report.Count{Ok: 1, Fail: 1, Info: 2, P50: ms(10), P95: ms(10), P99: ms(10), Max: ms(10)}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
}

func TestAHistoryThatCanNotBePairedStillHasAReport(t *testing.T) {
	h := &history.History{Ops: []history.Op{op(0, history.Invoke, 0), op(1, history.Ok, 10)}}
	in := report.Input{History: h, Why: "operation 1 ends what nobody began"}
	if got := report.Build(in).Figures.Total.All(); got != 0 {
		t.Errorf("got %d operations of a history that means nothing", got)
	}
	for ext, write := range renderings {
		if len(render(t, in, write)) == 0 {
			t.Errorf("%s is empty", ext)
		}
	}
}

func TestFaultsTellFromWhenToWhenAndHowTheyEnded(t *testing.T) {
	nemesis := func(ty history.Type, at int, f, value string) history.Op {
		return history.Op{Process: history.Nemesis, Type: ty, F: f, Time: ms(at),
			Value: json.RawMessage(value)}
	}
	h := &history.History{Ops: []history.Op{
		nemesis(history.Invoke, 10, "kill", `{"step":1,"action":"inject","target":"leader"}`),
		nemesis(history.Info, 12, "kill",
			`{"step":1,"action":"inject","target":"leader","outcome":"installed","nodes":["n2"]}`),
		nemesis(history.Invoke, 20, "pause", `{"step":2,"action":"inject","target":"all"}`),
		nemesis(history.Info, 21, "pause",
			`{"step":2,"action":"inject","outcome":"skipped","reason":"no leader"}`),
		nemesis(history.Invoke, 30, "kill", `{"step":1,"action":"heal"}`),
		nemesis(history.Info, 35, "kill", `{"step":1,"action":"heal","outcome":"healed"}`),
		nemesis(history.Invoke, 40, "cut", `{"step":3,"action":"inject"}`),
		nemesis(history.Info, 41, "cut", `{"step":3,"action":"inject","outcome":"installed"}`),
		nemesis(history.Invoke, 50, "heal", ``),
		nemesis(history.Info, 60, "heal", `{"action":"heal","outcome":"healed","nodes":["n1"]}`),
		nemesis(history.Invoke, 70, "cut", `{"step":4,"action":"inject"}`), // cut short
	}}
	for i := range h.Ops {
		h.Ops[i].Index = int64(i)
	}
	got := report.Build(report.Input{History: h}).Faults
	want := []report.Fault{
		{Name: "kill", Target: "leader", Nodes: []string{"n2"}, Outcome: "installed",
			From: ms(10), To: ms(35), Healed: true, Op: 1},
		{Name: "pause", Target: "all", Nodes: []string{}, Outcome: "skipped", Reason: "no leader",
			From: ms(20), To: ms(21), Op: 3},
		{Name: "cut", Nodes: []string{}, Outcome: "installed", From: ms(40), To: ms(60),
			Healed: true, Op: 7},
		{Name: "cut", Nodes: []string{}, Outcome: "indeterminate",
			Reason: "the history does not tell", From: ms(70), To: ms(70), Op: 10},
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
}

func TestLeadersEndWhenTheyAreSeenToOrTheirProcessEnds(t *testing.T) {
	see := func(at int, node, f, value string) history.Op {
		return history.Op{Process: history.Observer, Type: history.Info, F: f, Node: node,
			Time: ms(at), Value: json.RawMessage(value)}
	}
	h := &history.History{Ops: []history.Op{
		see(1, "n1", "status", `{"term":1,"role":"leader"}`),
		see(5, "n1", "status", `{"term":1,"role":"leader"}`),
		see(9, "n2", "status", `{"term":2,"role":"leader"}`),
		see(12, "n1", "status", `{"term":2,"role":"follower"}`),
		see(20, "n2", "exit", `{"code":137}`),
		see(30, "n1", "status", `{"term":3,"role":"leader"}`),
		see(40, "n1", "final_status", `{"term":3,"role":"leader"}`),
	}}
	r := report.Build(report.Input{History: h})
	want := []report.Leader{
		{Node: "n1", Term: 1, From: ms(1), To: ms(12)},
		{Node: "n2", Term: 2, From: ms(9), To: ms(20)},
		{Node: "n1", Term: 3, From: ms(30), To: ms(40)},
	}
	if d := cmp.Diff(r.Leaders, want); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
	if r.Figures.Terms != 3 || r.Figures.LeaderChanges != 2 {
		t.Errorf("got %d terms, %d changes", r.Figures.Terms, r.Figures.LeaderChanges)
	}
}

func TestAHistoryAloneTellsOfItsRun(t *testing.T) {
	in := validRun(t)
	in.Run = report.Run{}
	got := report.Build(in).Run
	if got.Seed != 1234 || got.Workload != "register" || len(got.Nodes) != 5 || got.ID == "" {
		t.Errorf("got %+v, want what the header says", got)
	}
}

func BenchmarkBuildAMillionOperations(b *testing.B) {
	s := newSampler(b)
	for len(s.ops) < 2_000_000 {
		at := len(s.ops) / 20
		s.client(len(s.ops)%40, at, at+5, "write", "k1", 5, nil, "n1")
	}
	in := report.Input{History: s.done(true), Results: []check.Result{}}
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		if err := report.Build(in).WriteHTML(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1e6/time.Since(start).Seconds(), "ops/s")
}

func TestEveryFieldOfTheDocumentIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "REPORT_JSON.md"))
	if err != nil {
		t.Fatal(err)
	}
	in := staleRun(t, 1)
	in.Failure, in.Interrupted = "the disk is full", true
	in.Results = append(in.Results, unknownRun(t).Results[2])
	in.Results[0].Details = json.RawMessage(`{"theirs":1}`)
	var v any
	if err := json.Unmarshal(render(t, in, renderings["json"]), &v); err != nil {
		t.Fatal(err)
	}
	free := map[string]bool{"plan": true, "versions": true, "details": true}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(path, e)
			}
		case map[string]any:
			for key, e := range v {
				if !bytes.Contains(doc, []byte("`"+key+"`")) {
					t.Errorf("docs/REPORT_JSON.md does not tell of %s.%s", path, key)
				}
				if !free[key] {
					walk(path+"."+key, e)
				}
			}
		}
	}
	walk("", v)
}
