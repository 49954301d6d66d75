package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"
)

// Schema is the version of the form of verdict.json. Fields are added without changing it.
const Schema = 1

// Verdict is what all checkers together say of a run. As JSON it is verdict.json: the same history
// gives the same bytes.
type Verdict struct {
	Schema int `json:"schema"`
	// Validity is the answer; Reason says in a line which checkers led to it.
	Validity Validity `json:"verdict"`
	Reason   string   `json:"reason,omitempty"`
	// Results are the rows of the property table, in the order of the checkers.
	Results []Result `json:"results"`
}

// WriteJSON writes verdict.json.
func (v *Verdict) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Merge combines answers: Invalid outranks Unknown outranks Valid, and NotObservable takes no part.
// Where nothing was observed nothing was tested, and that is Unknown.
func Merge(all ...Validity) Validity {
	valid := false
	unknown := false
	for _, v := range all {
		switch v {
		case Invalid:
			return Invalid
		case Valid:
			valid = true
		case NotObservable:
		default:
			unknown = true
		}
	}
	if valid && !unknown {
		return Valid
	}
	return Unknown
}

// grace is how long a checker may go on after its context has ended, before it is given up.
const grace = 5 * time.Second

// Judge runs all checkers at once and combines what they say. The deadline of ctx is their budget:
// a checker that runs into it says Unknown, and so does one that panics.
func Judge(ctx context.Context, in *Input, checkers []Checker) *Verdict {
	v := &Verdict{Schema: Schema, Results: make([]Result, len(checkers))}
	done := make([]chan Result, len(checkers))
	for i, c := range checkers {
		done[i] = make(chan Result, 1)
		go func() { done[i] <- judgeOne(ctx, in, c) }()
	}
	for i, c := range checkers {
		v.Results[i] = await(ctx, c, done[i])
	}
	v.summarise()
	return v
}

// await waits for a checker's result. One that does not heed ctx is left behind: its goroutine ends
// when it does, and what it says then is lost.
func await(ctx context.Context, c Checker, done <-chan Result) Result {
	select {
	case res := <-done:
		return res
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case res := <-done:
		return res
	case <-timer.C:
		return Result{Checker: c.Name(), Reason: "it did not end within its time"}
	}
}

func judgeOne(ctx context.Context, in *Input, c Checker) (res Result) {
	defer func() {
		if p := recover(); p != nil {
			res = Result{
				Reason: fmt.Sprintf("the checker panicked: %v", p),
				Findings: []Finding{{
					Class: "checker panicked", Text: panicPlace(string(debug.Stack())),
				}},
			}
		}
		res.Checker = c.Name()
		if res.Validity == Unknown && res.Reason == "" {
			res.Reason = "the checker gave no reason"
		}
	}()
	if err := context.Cause(ctx); err != nil {
		return Result{Reason: OutOfTime(err)}
	}
	return c.Check(ctx, in)
}

// panicPlace finds in a stack the function that panicked. The rest of a stack differs from run to
// run, and a verdict must not.
func panicPlace(stack string) string {
	_, after, found := strings.Cut(stack, "\npanic(")
	if !found {
		return "it panicked at an unknown place."
	}
	lines := strings.SplitN(after, "\n", 5)
	if len(lines) < 4 {
		return "it panicked at an unknown place."
	}
	file, _, _ := strings.Cut(strings.TrimSpace(lines[3]), " ")
	if at := strings.LastIndex(file, "/"); at >= 0 {
		file = file[at+1:]
	}
	return "it panicked at " + file + "."
}

// OutOfTime words the end of a context as the reason of an Unknown.
func OutOfTime(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it ran out of time"
	}
	return "it was interrupted"
}

// summarise fills in the combined answer.
func (v *Verdict) summarise() {
	all := make([]Validity, len(v.Results))
	for i, res := range v.Results {
		all[i] = res.Validity
	}
	v.Validity = Merge(all...)
	if v.Validity == Valid {
		return
	}
	var why []string
	for _, res := range v.Results {
		if res.Validity == v.Validity {
			why = append(why, res.Checker+": "+firstOf(res.Reason, res.Summary))
		}
	}
	if v.Reason = strings.Join(why, "; "); v.Reason == "" {
		v.Reason = "nothing was observed"
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
