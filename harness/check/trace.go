package check

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Traces are the checkers of Raft's own promises, which no client can see: they read what the nodes
// say of themselves, line by line, in their logs. A system that tells nothing is not observable.
//
// A trace is made of JSON objects, one a line, among whatever else a node prints:
//
//	{"seq":17,"node":"n1","ev":"become_leader","term":3,"index":120}
//
// seq counts from 1 in each process, so that a restart and a gap are seen. These events are used:
//
//	start term, index            the process begins, with a log up to index on its disk
//	become_leader term, index    it leads in term; its log ends at index
//	vote_granted term, peer      it votes for peer in term
//	append term, index, first    first to index are in its log, the last one of term
//	truncate index               what is at index and after is in its log no more
//	commit term, index           everything up to index is decided, the last one of term
//	snapshot term, index         a snapshot stands for everything up to index; with the detail
//	                             "installed" it came from a leader, and replaced the log
//	apply term, index, digest, op, key, value, old
//	                             the entry was applied, which led to a state with the digest
func Traces() []Checker {
	return []Checker{
		electionSafety{}, committedStays{}, leaderCompleteness{}, leaderAppends{}, sameEntries{},
		reexecution{},
	}
}

// event is a line of a trace.
type event struct {
	Seq   int64  `json:"seq"`
	Node  string `json:"node"`
	Ev    string `json:"ev"`
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
	First uint64 `json:"first"`
	Peer  string `json:"peer"`
	// Detail is "installed" in the snapshot that came from a leader.
	Detail string `json:"detail"`

	// Of an apply. Session and Request are zero for a command outside of any session.
	Digest  string  `json:"digest"`
	Op      string  `json:"op"`
	Key     string  `json:"key"`
	Value   string  `json:"value"`
	Old     *string `json:"old"` // nil if a cas wants nothing to stand there
	Session uint64  `json:"session"`
	Request uint64  `json:"request"`
}

// trace is what one node told, in order, over all its processes.
type trace struct {
	node   string
	events []event
	gaps   int // events that are missing in between
}

// errNoTrace says that no node tells anything.
var errNoTrace = errors.New("the nodes tell no trace")

// readTraces reads the traces of all nodes.
func readTraces(in *Input) ([]trace, error) {
	if in.Dir == nil {
		return nil, errors.New("there are no logs beside the history")
	}
	var all []trace
	for _, id := range in.Promises.Nodes {
		t, err := readTrace(in.Dir, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", id, err)
		}
		if len(t.events) > 0 {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil, errNoTrace
	}
	return all, nil
}

func readTrace(dir fs.FS, id string) (trace, error) {
	t := trace{node: id}
	f, err := dir.Open("nodes/" + id + ".log")
	if err != nil {
		return t, err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<16)
	var seq int64
	for {
		line, err := lines.ReadBytes('\n')
		if e, ok := parseEvent(line); ok && e.Node == id {
			if e.Seq != 1 && e.Seq != seq+1 {
				t.gaps++
			}
			seq = e.Seq
			t.events = append(t.events, e)
		}
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, err
		}
	}
}

// parseEvent reads a line. What is no event, or is cut short by a kill, is passed over.
func parseEvent(line []byte) (e event, ok bool) {
	if !bytes.Contains(line, []byte(`"ev":`)) {
		return e, false
	}
	start := bytes.IndexByte(line, '{')
	if start < 0 || json.Unmarshal(line[start:], &e) != nil {
		return e, false
	}
	return e, e.Ev != "" && e.Seq > 0
}

// traced runs a judgement over the traces and says what can be said without. Where no node tells of
// one of the needed events, nothing was seen to be kept, and only a violation counts.
func traced(
	in *Input, name, property string, judge func([]trace) (string, []Finding), needed ...string,
) Result {
	r := Result{Checker: name, Property: property}
	traces, err := readTraces(in)
	if err != nil {
		r.Validity, r.Reason = NotObservable, err.Error()
		return r
	}
	events, gaps := 0, 0
	for _, t := range traces {
		events += len(t.events)
		gaps += t.gaps
	}
	summary, findings := judge(traces)
	r.Summary = fmt.Sprintf("%s, in %d events of %d traces", summary, events, len(traces))
	if gaps > 0 {
		r.Summary += fmt.Sprintf("; %d gaps", gaps)
	}
	r.Validity, r.Findings = Valid, findings
	if len(findings) > 0 {
		r.Validity, r.Reason = Invalid, findings[0].Text
		r.Findings = findings[:min(len(findings), maxTraceFindings)]
		return r
	}
	for _, ev := range needed {
		if !told(traces, ev) {
			r.Validity, r.Reason = NotObservable, "no node tells of an event "+ev
		}
	}
	return r
}

// told says whether some node tells of an event ev.
func told(traces []trace, ev string) bool {
	return slices.ContainsFunc(traces, func(t trace) bool {
		return slices.ContainsFunc(t.events, func(e event) bool { return e.Ev == ev })
	})
}

// maxTraceFindings is how much evidence is kept: the first few tell it all.
const maxTraceFindings = 10

// electionSafety: in each term at most one node leads, and each node votes for at most one, also
// when it is restarted in between (paper, §5.2 and figure 2).
type electionSafety struct{}

func (electionSafety) Name() string { return "trace-elections" }

func (c electionSafety) Check(_ context.Context, in *Input) Result {
	return traced(in, c.Name(), "one leader and one vote of each node in a term", judgeElections,
		"become_leader", "vote_granted")
}

func judgeElections(traces []trace) (string, []Finding) {
	var findings []Finding
	leaders := map[uint64]string{}
	votes := 0
	for _, t := range traces {
		voted := map[uint64]string{}
		for _, e := range t.events {
			switch e.Ev {
			case "become_leader":
				if other, ok := leaders[e.Term]; ok && other != t.node {
					findings = append(findings, Finding{
						Class: "two leaders in a term", Node: t.node,
						Text: fmt.Sprintf("In term %d both %s and %s became leader.",
							e.Term, other, t.node),
					})
				}
				leaders[e.Term] = t.node
			case "vote_granted":
				votes++
				if other, ok := voted[e.Term]; ok && other != e.Peer {
					findings = append(findings, Finding{
						Class: "two votes in a term", Node: t.node,
						Text: fmt.Sprintf("In term %d node %s voted for %s and for %s.",
							e.Term, t.node, other, e.Peer),
					})
				}
				voted[e.Term] = e.Peer
			}
		}
	}
	return fmt.Sprintf("%d terms with a leader, %d votes", len(leaders), votes), findings
}

// logView follows what is known of one node's log: the terms of some of its entries.
type logView struct {
	terms     map[uint64]uint64 // by index
	last      uint64
	committed uint64
}

func newLogView() *logView { return &logView{terms: map[uint64]uint64{}} }

// apply takes an event in.
func (v *logView) apply(e event) {
	switch e.Ev {
	case "start":
		// What had not reached the disk is gone, and with it what was known of it.
		v.cut(e.Index + 1)
		v.committed = min(v.committed, e.Index)
		v.learn(e)
	case "append":
		for i := e.First; i > 0 && i < e.Index; i++ {
			delete(v.terms, i)
		}
		v.learn(e)
	case "snapshot":
		if e.Detail == "installed" {
			v.cut(e.Index + 1)
		}
		v.learn(e)
	case "truncate":
		v.cut(e.Index)
	case "commit":
		v.learn(e)
	}
}

// learn takes in that the entry at e.Index is of e.Term.
func (v *logView) learn(e event) {
	if e.Index > 0 {
		v.terms[e.Index] = e.Term
		v.last = max(v.last, e.Index)
	}
}

// cut forgets everything from index on.
func (v *logView) cut(index uint64) {
	for i := index; i <= v.last; i++ {
		delete(v.terms, i)
	}
	v.last = min(v.last, max(index, 1)-1)
}

// committedStays: what one node takes for decided no node ever holds otherwise, and nobody discards
// (log matching and state machine safety, paper §5.3 and §5.4.3).
type committedStays struct{}

func (committedStays) Name() string { return "trace-commits" }

func (c committedStays) Check(_ context.Context, in *Input) Result {
	return traced(in, c.Name(), "a committed entry stays, and is the same on every node",
		judgeCommits, "append", "commit")
}

// decided is an entry that some node takes for committed.
type decided struct {
	term uint64
	node string
}

func judgeCommits(traces []trace) (string, []Finding) {
	var findings []Finding
	all := map[uint64]decided{}
	for _, t := range traces {
		v := newLogView()
		for _, e := range t.events {
			if e.Ev == "truncate" && e.Index <= v.committed {
				findings = append(findings, Finding{
					Class: "committed entry discarded", Node: t.node,
					Text: fmt.Sprintf("Node %s discarded its log from index %d on, after it had "+
						"taken everything up to %d for committed.", t.node, e.Index, v.committed),
				})
			}
			v.apply(e)
			if e.Ev == "commit" && e.Index > v.committed {
				findings = append(findings, v.decide(t.node, e.Index, all)...)
			}
		}
	}
	return fmt.Sprintf("%d committed entries known by term", len(all)), findings
}

// decide takes in that the node takes everything up to index for committed.
func (v *logView) decide(node string, index uint64, all map[uint64]decided) (fs []Finding) {
	for i := v.committed + 1; i <= index; i++ {
		term, known := v.terms[i]
		if !known {
			continue
		}
		if d, ok := all[i]; ok && d.term != term {
			fs = append(fs, Finding{
				Class: "two entries committed", Node: node,
				Text: fmt.Sprintf("At index %d node %s took an entry of term %d for committed, and "+
					"%s one of term %d.", i, d.node, d.term, node, term),
			})
			continue
		}
		all[i] = decided{term, node}
	}
	v.committed = index
	return fs
}

// leaderCompleteness: a new leader has everything that leaders of former terms have committed
// (paper, §5.4.3).
type leaderCompleteness struct{}

func (leaderCompleteness) Name() string { return "trace-leaders" }

func (c leaderCompleteness) Check(_ context.Context, in *Input) Result {
	return traced(in, c.Name(), "a new leader has all that was committed", judgeLeaders,
		"become_leader", "commit")
}

// milestone is the most that the leader of a term has committed. It commits by counting only
// entries of its own term, so that the term of the entry is that of the leader (paper, §5.4.2).
type milestone struct {
	term, index uint64
	node        string
}

func judgeLeaders(traces []trace) (string, []Finding) {
	var findings []Finding
	reached := milestones(traces)
	leaders := 0
	for _, t := range traces {
		v := newLogView()
		for _, e := range t.events {
			v.apply(e)
			if e.Ev != "become_leader" {
				continue
			}
			leaders++
			for _, m := range reached {
				if m.term >= e.Term {
					break
				}
				term, known := v.terms[m.index]
				if e.Index >= m.index && (!known || term == m.term) {
					continue
				}
				findings = append(findings, Finding{
					Class: "committed entry missing", Node: t.node,
					Text: fmt.Sprintf("Node %s became leader of term %d with a log up to index %d, "+
						"without the entry of term %d at index %d, which %s had committed as leader "+
						"of term %d.", t.node, e.Term, e.Index, m.term, m.index, m.node, m.term),
				})
			}
		}
	}
	return fmt.Sprintf("%d elections", leaders), findings
}

// milestones finds how far each leader came, in order of terms.
func milestones(traces []trace) []milestone {
	var all []milestone
	for _, t := range traces {
		var leads uint64 // the term in which it leads; 0 if it does not
		far := map[uint64]uint64{}
		for _, e := range t.events {
			switch e.Ev {
			case "become_leader":
				leads = e.Term
			case "start", "become_follower", "become_candidate", "become_precandidate":
				leads = 0
			case "commit":
				if leads > 0 && e.Term == leads {
					far[leads] = max(far[leads], e.Index)
				}
			}
		}
		for term, index := range far {
			all = append(all, milestone{term, index, t.node})
		}
	}
	slices.SortFunc(all, func(a, b milestone) int {
		return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.node, b.node))
	})
	return all
}
