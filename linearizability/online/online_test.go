package online_test

import (
	"testing"

	"github.com/raftcheck/raftcheck/linearizability/online"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// TestLateStart holds that a write can turn out to have begun only after its value was found: when
// it ends, its client says when it really began.
func TestLateStart(t *testing.T) {
	t.Run("the write ends last", func(t *testing.T) {
		c := online.New()
		w := c.Begin(register.Write, 0, 1, 1, 0)
		r := c.Begin(register.Read, 0, 0, 2, 1)
		if v := c.Ok(r, 1, 2, 5); v != nil {
			t.Fatalf("got %v before it is known", v)
		}
		if v := c.Ok(w, 0, 10, 12); v == nil || v.Class != "phantom value" {
			t.Errorf("got %v, want a phantom value", v)
		}
	})
	t.Run("the read is told of last", func(t *testing.T) {
		for _, info := range []bool{false, true} {
			c := online.New()
			w := c.Begin(register.Write, 0, 1, 1, 0)
			r := c.Begin(register.Read, 0, 0, 2, 1)
			var v *online.Violation
			if info {
				v = c.Info(w, 10)
			} else {
				v = c.Ok(w, 0, 10, 12)
			}
			if v != nil {
				t.Fatalf("got %v before it is known", v)
			}
			if v := c.Ok(r, 1, 2, 5); v == nil || v.Class != "phantom value" {
				t.Errorf("indeterminate %v: got %v, want a phantom value", info, v)
			}
		}
	})
}

// TestRefused holds what a compare-and-set that was refused says.
func TestRefused(t *testing.T) {
	tests := []struct {
		name      string
		told      bool
		found     online.Value
		violation bool
		undecided bool
	}{
		{"it found what stands there", true, 1, false, false},
		{"it found what it expected", true, 7, true, false},
		{"it found what does not stand there any more", true, online.Absent, true, false},
		{"nobody knows what it found", false, 0, false, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := online.New()
			c.Ok(c.Begin(register.Write, 0, 1, 1, 0), 0, 1, 2)
			v := c.Refused(c.Begin(register.CAS, 7, 8, 3, 1), tc.told, tc.found, 3, 4)
			if (v != nil) != tc.violation || (c.Undecided() != "") != tc.undecided {
				t.Errorf("got violation %v, undecided %q", v, c.Undecided())
			}
		})
	}
}

// TestForgets holds that memory does not grow with the length of the history.
func TestForgets(t *testing.T) {
	c := online.New()
	at := int64(0)
	for v := online.Value(1); v < 1000; v++ {
		c.Ok(c.Begin(register.Write, 0, v, at, 0), 0, at, at+1)
		c.Ok(c.Begin(register.Read, 0, 0, at+2, 0), v, at+2, at+3)
		at += 4
	}
	if c.Violation() != nil || c.Undecided() != "" {
		t.Fatal(c.Violation(), c.Undecided())
	}
	if n := c.Live(); n > 5 {
		t.Errorf("%d values are remembered, want a few", n)
	}
	if v := c.Ok(c.Begin(register.Read, 0, 0, at, 0), 3, at, at+1); v == nil {
		t.Error("a value that was forgotten was found, and that is no violation")
	}
}
