package workloads

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// setTally counts what became of the elements.
type setTally struct {
	Elements int `json:"elements"`
	Reads    int `json:"reads"`
	// Stable elements were in every read that had to have them.
	Stable int `json:"stable"`
	// NeverRead were acknowledged, but nobody read their set after that.
	NeverRead int `json:"never_read"`
	// Indeterminate adds left no trace.
	Indeterminate int            `json:"indeterminate"`
	Classes       map[string]int `json:"violations,omitempty"`

	unread   string
	findings []check.Finding
}

// maxFindings bounds how many pieces of evidence are kept of one class.
const maxFindings = 5

func (t *setTally) found(class, key string, r *setRead, format string, args ...any) {
	t.Classes[class]++
	if t.Classes[class] > maxFindings {
		return
	}
	t.findings = append(t.findings, check.Finding{
		Class: class, Key: key, Node: r.node, Time: r.call.From, Ops: []int64{r.index},
		Text: fmt.Sprintf(format, args...),
	})
}

// severity orders classes of violations: what is lost for good first.
var severity = []string{"lost element", "lost on a node", "phantom", "refused but done",
	"duplicated", "stale read"}

func (t *setTally) result(res check.Result, sets int) check.Result {
	res.Summary = fmt.Sprintf("%d elements in %d sets, %d reads; %d stable, %d indeterminate and "+
		"never seen", t.Elements, sets, t.Reads, t.Stable, t.Indeterminate)
	slices.SortStableFunc(t.findings, func(a, b check.Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(severity, a.Class), slices.Index(severity, b.Class)),
			cmp.Compare(a.Time, b.Time), cmp.Compare(a.Text, b.Text))
	})
	res.Findings, res.Details = t.findings, figures(t)
	switch {
	case len(t.findings) > 0:
		res.Validity, res.Reason = check.Invalid, classCounts(t.Classes)
	case t.NeverRead > 0:
		res.Reason = fmt.Sprintf("%d elements can not be judged: %s", t.NeverRead, t.unread)
	case t.Stable == 0:
		res.Reason = "no element was ever read"
	default:
		res.Validity = check.Valid
	}
	return res
}

// classCounts is "3 of stale read, 1 of phantom".
func classCounts(classes map[string]int) (text string) {
	for i, class := range slices.Sorted(maps.Keys(classes)) {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s: %d", class, classes[class])
	}
	return text
}

// figures are the details of a result.
func figures(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("workloads: figures that are no JSON: " + err.Error())
	}
	return raw
}

// at and span are times as they stand in a sentence.
func at(d time.Duration) string { return fmt.Sprintf("%.6f s", d.Seconds()) }

func span(c history.Call) string {
	if c.To == history.Never {
		return "from " + at(c.From) + " on"
	}
	return fmt.Sprintf("from %.6f to %s", c.From.Seconds(), at(c.To))
}
