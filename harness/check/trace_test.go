package check

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/raftcheck/raftcheck/harness/history"
)

// traceInput is a run of which only the logs of the nodes are known.
func traceInput(logs map[string]string) *Input {
	in := &Input{History: &history.History{}, Dir: fstest.MapFS{}}
	for _, id := range []string{"n1", "n2", "n3"} {
		in.Promises.Nodes = append(in.Promises.Nodes, id)
		if log, ok := logs[id]; ok {
			in.Dir.(fstest.MapFS)["nodes/"+id+".log"] = &fstest.MapFile{Data: []byte(log)}
		}
	}
	return in
}

// events writes a trace: each word is an event and its fields, "append 1 3 first 2" for instance,
// and "start" begins another process.
func events(node string, lines ...string) string {
	var b strings.Builder
	seq := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "start") {
			seq = 0
		}
		seq++
		b.WriteString(`{"time":"now","level":"INFO","msg":"something else"}` + "\n")
		b.WriteString(eventLine(node, seq, strings.Fields(line)) + "\n")
	}
	return b.String()
}

func eventLine(node string, seq int, words []string) string {
	var line strings.Builder
	line.WriteString(`{"seq":` + strconv.Itoa(seq) + `,"node":"` + node + `","ev":"` + words[0] + `"`)
	for i := 1; i+1 < len(words); i += 2 {
		value := words[i+1]
		if words[i] == "peer" {
			value = `"` + value + `"`
		}
		line.WriteString(`,"` + words[i] + `":` + value)
	}
	return line.String() + "}"
}

func TestTracesShowBrokenPromisesOfRaft(t *testing.T) {
	healthy := map[string]string{
		"n1": events("n1", "start", "vote_granted term 1 peer n1", "become_leader term 1 index 0",
			"append term 1 first 1 index 1", "commit term 1 index 1",
			"append term 1 first 2 index 3", "become_follower term 2", "truncate index 3",
			"append term 2 first 3 index 3", "commit term 2 index 3"),
		"n2": events("n2", "start", "vote_granted term 1 peer n1",
			"append term 1 first 1 index 2", "commit term 1 index 1",
			"vote_granted term 2 peer n2", "become_leader term 2 index 2",
			"append term 2 first 3 index 3", "commit term 2 index 3",
			"start term 2 index 3", "vote_granted term 3 peer n1"),
		"n3": events("n3", "start", "vote_granted term 2 peer n2"),
	}
	with := func(id string, more ...string) map[string]string {
		logs := map[string]string{}
		maps.Copy(logs, healthy)
		logs[id] += events(id, more...)
		return logs
	}
	for _, c := range []struct {
		name  string
		logs  map[string]string
		class string // that must be found, and by which checker
		by    Checker
	}{
		{"a healthy cluster", healthy, "", nil},
		{"two leaders in a term", with("n3", "become_leader term 2 index 2"),
			"two leaders in a term", electionSafety{}},
		{"another vote after a restart", with("n2", "start", "vote_granted term 3 peer n3"),
			"two votes in a term", electionSafety{}},
		{"the same vote after a restart", with("n2", "start", "vote_granted term 3 peer n1"),
			"", nil},
		{"a committed entry is discarded", with("n1", "start term 2 index 3", "truncate index 3"),
			"committed entry discarded", committedStays{}},
		{"what was not on the disk is written anew after a restart",
			with("n1", "start term 1 index 2", "append term 2 first 3 index 3"), "", nil},
		{"two entries are committed at an index",
			with("n3", "append term 1 first 1 index 3", "commit term 1 index 3"),
			"two entries committed", committedStays{}},
		{"a leader lacks a committed entry", with("n3", "become_leader term 4 index 2"),
			"committed entry missing", leaderCompleteness{}},
		{"a leader has another entry in the place of a committed one",
			with("n3", "append term 1 first 1 index 3", "become_leader term 4 index 3"),
			"committed entry missing", leaderCompleteness{}},
		{"a leader discards entries of its own", with("n1", "start term 2 index 3",
			"become_leader term 4 index 3", "truncate index 4"),
			"leader discarded entries", leaderAppends{}},
		{"a follower discards entries", with("n1", "start term 2 index 3",
			"become_leader term 4 index 3", "become_follower term 5", "truncate index 4"), "", nil},
		{"a leader commits by an entry of an old term", with("n1", "start term 2 index 3",
			"become_leader term 4 index 3", "commit term 2 index 3"),
			"old term committed", leaderAppends{}},
		{"a leader's term goes back", with("n1", "start term 2 index 3",
			"become_leader term 4 index 3", "start term 2 index 3", "become_leader term 3 index 3"),
			"term went back", leaderAppends{}},
		{"a leader has all", with("n3", "append term 2 first 1 index 3",
			"become_leader term 4 index 3"), "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, checker := range Traces() {
				r := checker.Check(t.Context(), traceInput(c.logs))
				if r.Validity == NotObservable {
					continue // nothing is told of what was applied
				}
				if c.by == nil || r.Checker != c.by.Name() {
					if r.Validity != Valid {
						t.Errorf("%s: %s, %s", r.Checker, r.Validity, r.Reason)
					}
					continue
				}
				if r.Validity != Invalid || r.Findings[0].Class != c.class {
					t.Errorf("%s: %s, %+v, want %q", r.Checker, r.Validity, r.Findings, c.class)
				}
			}
		})
	}
}

func TestWithoutATraceRaftsPromisesAreNotObservable(t *testing.T) {
	for name, in := range map[string]*Input{
		"no directory":  {History: &history.History{}},
		"no logs":       traceInput(nil),
		"other logs":    traceInput(map[string]string{"n1": "etcd started\n{\"level\":\"info\"}\n"}),
		"nothing of it": traceInput(map[string]string{"n1": events("n1", "start term 1 index 0")}),
		"half an event": traceInput(map[string]string{"n1": `{"seq":1,"node":"n1","ev":"sta`}),
	} {
		for _, checker := range Traces() {
			if r := checker.Check(t.Context(), in); r.Validity != NotObservable || r.Reason == "" {
				t.Errorf("%s: %s is %s, %q", name, r.Checker, r.Validity, r.Reason)
			}
		}
	}
}

func TestATraceThatWasCutByAKillIsNoViolation(t *testing.T) {
	logs := map[string]string{"n1": events("n1", "start", "become_leader term 1 index 0") +
		`{"seq":3,"node":"n1","ev":"app` + "\n" + events("n1", "start term 1 index 1"),
		"n2": events("n2", "start", "vote_granted term 1 peer n1", "append term 1 index 1 first 1",
			"commit term 1 index 1")}
	for _, checker := range Traces() {
		r := checker.Check(t.Context(), traceInput(logs))
		if _, of := checker.(reexecution); of || checker == (sameEntries{}) {
			if r.Validity != NotObservable {
				t.Errorf("%s: %s, of no applied entry", r.Checker, r.Validity)
			}
			continue
		}
		if r.Validity != Valid {
			t.Errorf("%s: %s, %s", r.Checker, r.Validity, r.Reason)
		}
	}
}
