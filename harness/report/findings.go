package report

import "github.com/raftcheck/raftcheck/harness/check"

// finding is a finding with where it stands: its checker, and its place among what that found.
type finding struct {
	check.Finding
	checker string
	index   int
}

// findings lists what was found, in the order in which it is told: what breaks a promise before
// what leaves one open, and the most telling finding of each promise before the second of any.
// What coverage misses is told elsewhere.
func findings(rows []check.Result) (all []finding) {
	for _, v := range []check.Validity{check.Invalid, check.Unknown, check.Valid} {
		for i, more := 0, true; more; i++ {
			more = false
			for _, row := range rows {
				if row.Validity != v || row.Checker == coverage || i >= len(row.Findings) {
					continue
				}
				more = true
				all = append(all, finding{row.Findings[i], row.Checker, i})
			}
		}
	}
	return all
}

func (r *Report) findings() []finding { return findings(r.Properties) }

// momentOf is the part of the history that shows f, or nil.
func (r *Report) momentOf(f finding) *Moment {
	for i := range r.Moments {
		if m := &r.Moments[i]; m.Checker == f.checker && m.Finding == f.index {
			return m
		}
	}
	return nil
}
