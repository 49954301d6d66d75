package raft

import "testing"

// A write that is done must not count for entries that replaced those it carried: neither for
// other entries at the same index, nor for the very same ones when they come back later. The
// second case defeats a comparison of (index, term).
func TestStaleWritesDoNotCount(t *testing.T) {
	var d disk
	first := d.issue(5, false) // (5, term 2)
	d.truncated(5)
	second := d.issue(5, true) // (5, term 3)
	d.truncated(5)
	third := d.issue(5, false) // (5, term 2) again
	for _, step := range []struct {
		done Ticket
		want Index
	}{{first, 4}, {second, 4}, {third, 5}} {
		d.done(step.done)
		if d.durable != step.want {
			t.Errorf("after write %d: durable to %d, want %d", step.done, d.durable, step.want)
		}
	}
}

func TestTruncationTakesBackWhatWasDurable(t *testing.T) {
	var d disk
	d.done(d.issue(9, false))
	d.truncated(4)
	if d.durable != 3 {
		t.Errorf("durable to %d after cutting 4, want 3", d.durable)
	}
	d.reset(20)
	if d.durable != 20 {
		t.Errorf("durable to %d after a snapshot of 20", d.durable)
	}
}

func TestUnknownTicketPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a write that was never issued was accepted as done")
		}
	}()
	var d disk
	d.done(1)
}
