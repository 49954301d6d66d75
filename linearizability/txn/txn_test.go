package txn

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// parse reads "x+1" as an append, "x=1,2" as a read and "r:=1" as a write; a "!" in front aborts
// the transaction, a "?" leaves it open.
func parse(text string, from, to int64) Txn {
	t := Txn{Fate: Committed, From: from, To: to}
	for word := range strings.FieldsSeq(text) {
		switch {
		case word == "!":
			t.Fate = Aborted
		case word == "?":
			t.Fate = Open
		case strings.Contains(word, ":="):
			key, v, _ := strings.Cut(word, ":=")
			t.Steps = append(t.Steps, Step{Kind: Write, Key: key, Value: v})
		case strings.Contains(word, "+"):
			key, v, _ := strings.Cut(word, "+")
			t.Steps = append(t.Steps, Step{Kind: Append, Key: key, Value: v})
		default:
			key, v, _ := strings.Cut(word, "=")
			s := Step{Kind: Read, Key: key}
			if v != "" {
				s.Values = strings.Split(v, ",")
			}
			t.Steps = append(t.Steps, s)
		}
	}
	return t
}

func TestEveryAnomalyHasItsName(t *testing.T) {
	for _, c := range []struct {
		name string
		want string // the first anomaly; empty for none
		txns []string
		// apart: each transaction begins after the one before it has ended. Otherwise all are under
		// way at once.
		apart bool
	}{
		{"one after the other", "", []string{"x+1", "x=1 x+2", "x=1,2 y+3", "y=3"}, true},
		{"what was refused is not there", "", []string{"! x+1", "x+2", "x=2"}, true},
		{"what is open may be there later", "", []string{"? x+1", "x=", "x=1"}, true},
		{"what is open may never be there", "", []string{"? x+1", "x=", "x+2", "x=2"}, true},
		{"two write in opposite orders", "G0",
			[]string{"x+1 y+1", "x+2 y+2", "x=1,2", "y=2,1"}, false},
		{"what was refused is read", "G1a", []string{"! x+1", "x=1"}, false},
		{"half of what was appended is read", "G1b", []string{"x+1 x+2", "x=1"}, false},
		{"each reads what the other wrote", "G1c", []string{"x+1 y=2", "y+2 x=1"}, false},
		{"one of two writes is seen", "G-single", []string{"x+1 y+1", "x=1 y=", "y=1"}, false},
		{"write skew", "G2", []string{"x= y+1", "y= x+1", "x=1", "y=1"}, false},
		{"both write over the same version", "lost update", []string{"r= r:=1", "r= r:=2"}, false},
		{"both append to what the other did not see", "G2", []string{"x= x+1", "x= x+2"}, false},
		{"the order of two appends is not that of time", "G0-realtime",
			[]string{"x+1", "x+2", "x=2,1"}, true},
		{"a read sees what comes later", "G1c-realtime", []string{"x=1", "x+1"}, true},
		{"a read misses what came before", "G-single-realtime", []string{"x+1", "x="}, true},
		{"it was seen, and then not", "G-single-realtime",
			[]string{"x+1", "x=1", "x=", "x=1"}, true},
		{"two branches", "incompatible order", []string{"x+1", "x+2", "x=1", "x=2"}, false},
		{"nobody wrote it", "phantom", []string{"x+1", "x=1,9"}, false},
		{"it is there twice", "duplicate", []string{"x+1", "x=1,1"}, false},
		{"own append is not seen", "internal", []string{"x+1 x="}, false},
		{"two reads of one transaction differ", "internal", []string{"x+1", "x= x=1"}, false},
		{"a register goes back", "G-single-realtime",
			[]string{"r= r:=1", "r=1 r:=2", "r=1"}, true},
		{"a register is not there any more", "G-single-realtime", []string{"r= r:=1", "r="}, true},
		{"a blind write is missed", "G-single-realtime", []string{"r:=1", "r="}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var txns []Txn
			for i, text := range c.txns {
				from, to := int64(0), int64(100)
				if c.apart {
					from, to = int64(10*i), int64(10*i+5)
				}
				txns = append(txns, parse(text, from, to))
			}
			found := Check(txns)
			got := ""
			if len(found) > 0 {
				got = found[0].Name
			}
			if got != c.want {
				t.Fatalf("got %q, want %q: %v", got, c.want, found)
			}
			if len(found) > 0 && len(found[0].Edges) > 0 &&
				len(found[0].Edges) != len(found[0].Txns) {
				t.Errorf("%d edges between %d transactions", len(found[0].Edges), len(found[0].Txns))
			}
		})
	}
}

// large is a history of many transactions that are right, or of which one read misses the last
// append.
func large(n int, spoilt bool) []Txn {
	var txns []Txn
	state := map[string][]string{}
	for i := range n {
		key := "k" + strconv.Itoa(i/1000*10+i%10)
		t := Txn{Fate: Committed, From: int64(10*i - 35), To: int64(10*i + 35)}
		seen := state[key]
		if spoilt && i == n-4 {
			seen = seen[:len(seen)-10]
		}
		t.Steps = []Step{{Kind: Read, Key: key, Values: seen}}
		if i%2 == 0 {
			v := strconv.Itoa(i)
			t.Steps = append(t.Steps, Step{Kind: Append, Key: key, Value: v})
			state[key] = append(state[key][:len(state[key]):len(state[key])], v)
		}
		txns = append(txns, t)
	}
	return txns
}

func TestALargeHistoryIsJudgedAndItsCycleIsShort(t *testing.T) {
	if found := Check(large(20_000, false)); len(found) > 0 {
		t.Errorf("found %v", found[0])
	}
	found := Check(large(20_000, true))
	if len(found) == 0 || len(found[0].Txns) > 3 {
		t.Fatalf("found %v", found)
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{10_000, 40_000, 160_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			txns := large(n, false)
			for b.Loop() {
				if found := Check(txns); len(found) > 0 {
					b.Fatal(found[0])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/txn")
		})
	}
}
