package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
)

// The elements of JUnit XML, as build servers read them. There is no standard; these are the parts
// that all of them understand.
type (
	junitSuites struct {
		XMLName xml.Name   `xml:"testsuites"`
		Suite   junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr,omitempty"`
		Properties []junitProperty `xml:"properties>property,omitempty"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitOutcome `xml:"failure"`
		Error   *junitOutcome `xml:"error"`
		Skipped *junitOutcome `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitOutcome struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the property table for a build server: one test case for each promise. What is
// unknown is an error there, and so is a failure of the harness; neither is ever a pass. The last
// case is the verdict as a whole, so that a run without any row can not look green either.
func (r *Report) WriteJUnit(w io.Writer) error {
	s := junitSuite{
		Name: "raftcheck." + orElse(r.Run.Workload, "run"), Time: seconds(r.Figures.Duration),
		Properties: r.junitProperties(),
	}
	if !r.Run.Started.IsZero() {
		s.Timestamp = r.Run.Started.UTC().Format("2006-01-02T15:04:05")
	}
	for _, res := range r.Properties {
		s.add(junitRow(s.Name, res))
	}
	s.add(r.junitOverall(s.Name))
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suite: s}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	c.Time = "0.000"
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

func junitRow(class string, res check.Result) junitCase {
	c := junitCase{Class: class, Name: orElse(res.Property, res.Checker), Out: res.Summary}
	out := &junitOutcome{
		Message: orElse(res.Reason, res.Validity.String()), Type: res.Validity.String(),
		Text: findingsText(res.Findings),
	}
	switch res.Validity {
	case check.Valid:
	case check.Invalid:
		c.Failure = out
	case check.NotObservable:
		c.Skipped = out
	default:
		c.Error = out
	}
	return c
}

func (r *Report) junitOverall(class string) junitCase {
	c := junitCase{Class: class, Name: "verdict"}
	switch {
	case r.Verdict == check.Invalid:
		c.Failure = &junitOutcome{Message: orElse(r.Why, "invalid"), Type: "invalid"}
	case r.Failure != "":
		c.Error = &junitOutcome{Message: r.Failure, Type: "harness"}
	case r.Verdict != check.Valid:
		c.Error = &junitOutcome{Message: orElse(r.Why, "unknown"), Type: "unknown"}
	}
	c.Out = r.Run.Repeat
	return c
}

func (r *Report) junitProperties() []junitProperty {
	ps := []junitProperty{{"seed", strconv.FormatUint(r.Run.Seed, 10)}}
	for _, p := range []junitProperty{
		{"run", r.Run.ID}, {"system", r.Run.System}, {"faults", strings.Join(r.Run.Faults, ",")},
		{"image", r.Run.Image}, {"repeat", r.Run.Repeat},
	} {
		if p.Value != "" {
			ps = append(ps, p)
		}
	}
	return ps
}

func findingsText(fs []check.Finding) string {
	var b strings.Builder
	for _, f := range fs {
		fmt.Fprintf(&b, "%s: %s\n", heading(f), f.Text)
	}
	return b.String()
}

// heading names a finding in a few words: "stale read of k3", "node panicked on n2".
func heading(f check.Finding) string {
	s := f.Class
	if f.Key != "" {
		s += " of " + f.Key
	}
	if f.Node != "" {
		s += " on " + f.Node
	}
	return s
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
