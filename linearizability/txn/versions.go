package txn

import (
	"fmt"
	"slices"
	"strings"
)

// object is all that is known of a key.
type object struct {
	key     string
	writers map[string]writer // by value
	reads   []read            // of committed transactions, the state before own steps
	longest read              // of a list, the read with the most elements
	list    bool
}

// writer is who wrote a value. Last says that it is the last that the transaction wrote to the key.
type writer struct {
	txn  int
	last bool
}

// read is what a transaction found before it changed the key itself.
type read struct {
	txn    int
	values []string
}

// analysis is the work on one history. Found anomalies of each name are counted.
type analysis struct {
	txns    []Txn
	objects map[string]*object
	keys    []*object // in order of first use
	found   []Anomaly
	count   map[string]int
	seen    []bool // by transaction, whether somebody read what it wrote
	graph   graph
}

func newAnalysis(txns []Txn) *analysis {
	return &analysis{
		txns: txns, objects: map[string]*object{}, count: map[string]int{},
		seen: make([]bool, len(txns)),
	}
}

func (a *analysis) report(x Anomaly) {
	if a.count[x.Name]++; a.count[x.Name] <= maxAnomalies {
		a.found = append(a.found, x)
	}
}

// wrong reports an anomaly that is no cycle.
func (a *analysis) wrong(name, key string, txns []int, format string, args ...any) {
	a.report(Anomaly{Name: name, Key: key, Txns: txns, Text: fmt.Sprintf(format, args...)})
}

func (a *analysis) object(key string) *object {
	o := a.objects[key]
	if o == nil {
		o = &object{key: key, writers: map[string]writer{}}
		a.objects[key] = o
		a.keys = append(a.keys, o)
	}
	return o
}

// index notes who wrote what.
func (a *analysis) index() {
	for i := range a.txns {
		last := map[string]string{}
		for _, s := range a.txns[i].Steps {
			if s.Kind != Read {
				o := a.object(s.Key)
				o.list = o.list || s.Kind == Append
				o.writers[s.Value] = writer{txn: i}
				last[s.Key] = s.Value
			}
		}
		for key, value := range last {
			a.objects[key].writers[value] = writer{i, true}
		}
	}
}

// inner judges each transaction by itself, and notes what it found before it changed something.
func (a *analysis) inner() {
	for i := range a.txns {
		if a.txns[i].Fate != Committed {
			continue
		}
		known := map[string][]string{} // by key, what the next read must find
		own := map[string][]string{}   // by key, what was appended before any read of it
		for _, s := range a.txns[i].Steps {
			before, readBefore := known[s.Key]
			switch {
			case s.Kind == Append && readBefore:
				known[s.Key] = append(slices.Clone(before), s.Value)
			case s.Kind == Append:
				own[s.Key] = append(own[s.Key], s.Value)
			case s.Kind == Write:
				known[s.Key] = []string{s.Value}
			case readBefore:
				if !slices.Equal(before, s.Values) {
					a.wrong("internal", s.Key, []int{i}, "It found %s, and by what it had read and "+
						"written itself it should have found %s.", show(s.Values), show(before))
				}
			default:
				a.firstRead(i, s, own[s.Key])
				known[s.Key] = s.Values
			}
		}
	}
}

// firstRead notes what a transaction found when it read a key for the first time, after it appended
// own.
func (a *analysis) firstRead(i int, s Step, own []string) {
	n := len(s.Values) - len(own)
	if n < 0 || !slices.Equal(s.Values[n:], own) {
		a.wrong("internal", s.Key, []int{i}, "It found %s, which does not end with what it had "+
			"appended itself, %s.", show(s.Values), show(own))
		return
	}
	o := a.object(s.Key)
	r := read{i, s.Values[:n]}
	if !a.known(o, r) {
		return
	}
	o.reads = append(o.reads, r)
	if len(r.values) > len(o.longest.values) {
		o.longest = r
	}
}

// known judges whether somebody can have written what was read.
func (a *analysis) known(o *object, r read) bool {
	if n := len(r.values); n <= len(o.longest.values) &&
		slices.Equal(r.values, o.longest.values[:n]) && !slices.ContainsFunc(r.values,
		func(v string) bool { return o.writers[v].txn == r.txn }) {
		return a.newest(o, r) // all but the end was judged when the longest was
	}
	good := true
	times := make(map[string]int, len(r.values))
	for _, v := range r.values {
		w, written := o.writers[v]
		if times[v]++; times[v] == 2 {
			a.wrong("duplicate", o.key, []int{r.txn}, "It found %s twice in %s.", v, show(r.values))
			good = false
		}
		switch {
		case !written:
			a.wrong("phantom", o.key, []int{r.txn}, "It found %s in %s, which nobody wrote.", v,
				show(r.values))
			good = false
		case w.txn == r.txn:
			a.wrong("internal", o.key, []int{r.txn}, "It found %s before it wrote it itself.", v)
			good = false
		case a.txns[w.txn].Fate == Aborted:
			a.wrong("G1a", o.key, []int{r.txn, w.txn}, "It found %s, which was written by a "+
				"transaction that was refused.", v)
			good = false
		default:
			a.seen[w.txn] = true
		}
	}
	return good && a.newest(o, r)
}

// newest judges whether the version that was read is the last of its transaction.
func (a *analysis) newest(o *object, r read) bool {
	if len(r.values) == 0 {
		return true
	}
	v := r.values[len(r.values)-1]
	if w := o.writers[v]; !w.last {
		a.wrong("G1b", o.key, []int{r.txn, w.txn}, "It found %s as the newest, which is not the "+
			"last that its transaction wrote to the key.", v)
		return false
	}
	return true
}

// lists compares what was read of each list with the longest that was.
func (a *analysis) lists() {
	for _, o := range a.keys {
		if !o.list {
			continue
		}
		for _, r := range o.reads {
			if n := len(r.values); !slices.Equal(r.values, o.longest.values[:n]) {
				a.wrong("incompatible order", o.key, []int{r.txn, o.longest.txn}, "One found %s, "+
					"and another %s: neither grew out of the other.", show(r.values),
					show(o.longest.values))
				break
			}
		}
	}
}

// registers looks for two transactions that wrote over the same version.
func (a *analysis) registers() {
	for _, o := range a.keys {
		if o.list {
			continue
		}
		over := map[string]int{}
		for _, r := range o.reads {
			if !a.writes(r.txn, o.key) {
				continue
			}
			v := ""
			if len(r.values) > 0 {
				v = "=" + r.values[0]
			}
			if first, twice := over[v]; twice && first != r.txn {
				a.wrong("lost update", o.key, []int{first, r.txn}, "Both found %s and wrote over it.",
					show(r.values))
				continue
			}
			over[v] = r.txn
		}
	}
}

// writes says whether a transaction writes to a key.
func (a *analysis) writes(i int, key string) bool {
	return slices.ContainsFunc(a.txns[i].Steps, func(s Step) bool {
		return s.Kind != Read && s.Key == key
	})
}

// show is a list as it stands in a sentence.
func show(values []string) string {
	const most = 12
	if len(values) > most {
		return fmt.Sprintf("[… %s] (%d elements)",
			strings.Join(values[len(values)-most:], " "), len(values))
	}
	return "[" + strings.Join(values, " ") + "]"
}
