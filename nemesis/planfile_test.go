package nemesis

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAPlanFileIsReadAsWritten(t *testing.T) {
	got, err := ReadPlan(strings.NewReader(`
steps:
  - {at: 2s, for: 3s, fault: partition-minority}
  - at: 4s            # while the leader is cut off
    for: 500ms
    fault: kill
    target: n3
    seed: 9
`), 10*time.Second, 5)
	if err != nil {
		t.Fatal(err)
	}
	want := Schedule{Steps: []Step{
		{ID: 1, Fault: "partition-minority", Target: LeaderMinority, At: 2 * time.Second,
			For: 3 * time.Second},
		{ID: 2, Fault: "kill", Target: "n3", At: 4 * time.Second, For: 500 * time.Millisecond, Seed: 9},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the schedule (-want +got):\n%s", diff)
	}
}

func TestWhatIsWrongInAPlanFileIsNamedWithItsPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "the plan is empty"},
		{"steps: []", "no steps"},
		{"steps:\n  - {at: 1s, for: 1s, faults: kill}", "[2:23]"},
		{"steps:\n  - {at: soon, for: 1s, fault: kill}", `step 1: at "soon"`},
		{"steps:\n  - {at: 1s, for: 1s, fault: flood}", `step 1: unknown fault "flood"`},
		{"steps:\n  - {at: 1s, for: 1s, fault: partition}", `"partition" is not one fault`},
		{"steps:\n  - {at: 9s, for: 2s, fault: kill}", "it ends at 11s, after the time limit of 10s"},
		{"steps:\n  - {at: 1s, fault: kill}", `at "1s" for ""`},
		{"\tsteps", "the plan is wrong"},
	} {
		_, err := ReadPlan(strings.NewReader(c.text), 10*time.Second, 5)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}
