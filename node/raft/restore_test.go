package raft

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func testOptions() Options { return Options{ID: 1, Rand: rand.New(rand.NewPCG(1, 1))} }

func entries(from Index, terms ...Term) []Entry {
	var es []Entry
	for k, t := range terms {
		es = append(es, Entry{Index: from + Index(k), Term: t, Kind: EntryCommand})
	}
	return es
}

func TestRestoreRefusesContradictions(t *testing.T) {
	three := Config{Voters: []ID{1, 2, 3}}
	for name, c := range map[string]struct {
		from Restored
		want string
	}{
		"a gap in the log": {
			Restored{HardState: HardState{Term: 5}, Entries: append(entries(1, 1), entries(3, 1)...)},
			"entry (3, term 1) follows (1, term 1)",
		},
		"terms that go down": {
			Restored{HardState: HardState{Term: 5}, Entries: entries(1, 3, 2)}, "follows",
		},
		"an entry of a term that was never saved": {
			Restored{HardState: HardState{Term: 1}, Entries: entries(1, 2)}, "above the saved term",
		},
		"entries that begin after the snapshot": {
			Restored{
				HardState: HardState{Term: 5}, Entries: entries(12, 2),
				Snapshot: SnapshotMeta{Index: 10, Term: 2, Config: three},
			}, "begin at 12",
		},
		"more applied than there is": {
			Restored{HardState: HardState{Term: 5}, Entries: entries(1, 2), Applied: 3}, "applied 3",
		},
		"a membership that cannot be read": {
			Restored{
				HardState: HardState{Term: 5},
				Entries:   []Entry{{Index: 1, Term: 1, Kind: EntryConfig}},
			},
			"malformed membership",
		},
	} {
		_, err := New(0, testOptions(), c.from)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := New(0, Options{ID: 1}, Restored{}); err == nil {
		t.Error("no source of randomness was accepted")
	}
}

// A crash can come between a snapshot's installation and the removal of the log that it
// contradicts or outruns.
func TestRestoreSidesWithTheSnapshot(t *testing.T) {
	snap := SnapshotMeta{Index: 5, Term: 3, Config: Config{Voters: []ID{1, 2}}}
	for name, c := range map[string]struct {
		entries []Entry
		last    Index
		reset   bool
	}{
		"no log":                          {nil, 5, true},
		"a log that ends before it":       {entries(1, 1, 1), 5, true},
		"a log that contradicts it":       {entries(1, 1, 1, 1, 1, 2, 2, 2), 5, true},
		"a log that contains it":          {entries(1, 1, 1, 1, 1, 3, 3), 6, false},
		"a compacted log that does":       {entries(4, 1, 3, 4), 6, false},
		"a log that begins right at it":   {entries(5, 3, 4, 4), 7, false},
		"a log that begins just after it": {entries(6, 4, 4), 7, false},
	} {
		n, err := New(0, testOptions(), Restored{
			HardState: HardState{Term: 9}, Snapshot: snap, Entries: c.entries,
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var out Output
		n.Drain(&out)
		if n.log.last() != c.last || (out.Reset != nil) != c.reset || n.commit != 5 {
			t.Errorf("%s: log to %d, reset %t, commit %d; want log to %d, reset %t, commit 5",
				name, n.log.last(), out.Reset != nil, n.commit, c.last, c.reset)
		}
	}
}

// TestAnOvertakenSnapshotIsNotTheNewest: a node's own snapshot takes a while to write. If a
// leader's has been installed meanwhile, the driver must not mark its log with the older one: a
// log whose mark goes back cannot be opened any more.
func TestAnOvertakenSnapshotIsNotTheNewest(t *testing.T) {
	n, err := New(0, Options{ID: 1, Rand: rand.New(rand.NewPCG(1, 1))}, Restored{
		HardState: HardState{Term: 1},
		Snapshot:  SnapshotMeta{Index: 20, Term: 1, Config: Config{Voters: []ID{1, 2, 3}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []Index{10, 20} {
		if n.Snapshotted(SnapshotMeta{Index: i, Term: 1}) {
			t.Errorf("the snapshot of %d counts as newer than that of 20", i)
		}
	}
}
