package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestTraceTellsWhatHappened(t *testing.T) {
	c := startCluster(t, 3)
	c.do("put", `{"key":"a","value":"1"}`)
	c.converged()
	for id, s := range c.nodes {
		stop(t, s)
		delete(c.nodes, id)
	}
	leaders := map[uint64]int{} // by term; stopping hands leadership on
	for id, trace := range c.trace {
		var kinds []string
		for i, line := range strings.Split(strings.TrimSpace(trace.String()), "\n") {
			var e struct {
				Seq  uint64 `json:"seq"`
				Node string `json:"node"`
				Ev   string `json:"ev"`
				Term uint64 `json:"term"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if e.Seq != uint64(i+1) || e.Node != id.String() {
				t.Errorf("line %d of %s: %s", i+1, id, line)
			}
			kinds = append(kinds, e.Ev)
			if e.Ev == "become_leader" {
				leaders[e.Term]++
			}
		}
		if kinds[0] != "start" || kinds[len(kinds)-1] != "stop" || !slices.Contains(kinds, "commit") {
			t.Errorf("%s: %v", id, kinds)
		}
	}
	for term, n := range leaders {
		if n != 1 {
			t.Errorf("%d leaders in term %d", n, term)
		}
	}
	if len(leaders) == 0 {
		t.Error("nobody became leader")
	}
}

// TestMessagesAreFoundInBothTraces matches what was received with what was sent.
func TestMessagesAreFoundInBothTraces(t *testing.T) {
	for _, all := range []bool{false, true} {
		c := newCluster(t, 3, func(cfg *Config) { cfg.TraceMessages = all })
		for _, p := range c.peers {
			c.start(p.ID)
		}
		c.do("put", `{"key":"a","value":"1"}`)
		c.converged()
		for id, s := range c.nodes {
			stop(t, s)
			delete(c.nodes, id)
		}
		type message struct{ Node, Ev, Mid, Peer, Detail string }
		sent, received := map[string]message{}, map[string]message{}
		kinds := map[string]bool{}
		for _, trace := range c.trace {
			for line := range strings.Lines(trace.String()) {
				var m message
				if err := json.Unmarshal([]byte(line), &m); err != nil {
					t.Fatal(err)
				}
				into := sent
				switch m.Ev {
				case "recv":
					into = received
				case "send":
				default:
					continue
				}
				if _, dup := into[m.Mid]; dup || m.Mid == "" {
					t.Errorf("%s is not the only one: %s", m.Mid, line)
				}
				into[m.Mid] = m
				kinds[m.Detail] = true
			}
		}
		for mid, r := range received {
			if s, ok := sent[mid]; !ok || s.Node != r.Peer || s.Peer != r.Node || s.Detail != r.Detail {
				t.Errorf("received %+v, sent %+v", r, s)
			}
		}
		if !kinds["vote"] || !kinds["vote_resp"] || kinds["append"] != all || len(received) == 0 {
			t.Errorf("messages traced: %v, %d received", kinds, len(received))
		}
	}
}

func FuzzJSONString(f *testing.F) {
	f.Add("plain \"quoted\" \\ \n \x00 é \xff")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendJSONString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want && !strings.Contains(s, "\xff") {
			if len([]rune(s)) != len([]rune(got)) {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}
