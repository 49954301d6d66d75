package workloads

import (
	"slices"
	"strings"
	"testing"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// poor is a system that can get, put and cas, and no more.
type poor struct{ sut.System }

func (poor) Name() string { return "poor" }

// able is a system that can do what it says.
type able struct {
	poor
	can []sut.Ability
}

func (a able) Abilities() []sut.Ability { return a.can }

func TestASystemIsRefusedIfItCanNotDoWhatAWorkloadNeeds(t *testing.T) {
	for _, w := range All() {
		for _, need := range w.Needs() {
			rest := slices.DeleteFunc(slices.Clone(w.Needs()), func(a sut.Ability) bool {
				return a == need
			})
			err := Fits(w, able{can: rest})
			if err == nil || !strings.Contains(err.Error(), string(need)) {
				t.Errorf("%s on a system that can not %s: %v", w.Name(), need, err)
			}
		}
		if err := Fits(w, able{can: w.Needs()}); err != nil {
			t.Error(err)
		}
	}
	if got := FitFor(poor{}); !slices.Contains(got, "register") || slices.Contains(got, "append") {
		t.Errorf("what can only get, put and cas fits %v", got)
	}
}
