package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Seconds float64       `xml:"time,attr"`
	Failure *junitTrouble `xml:"failure,omitempty"`
	Error   *junitTrouble `xml:"error,omitempty"`
}

type junitTrouble struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeSuite writes junit.xml and summary.md. What is neither valid nor invalid is an error, never
// a pass.
func writeSuite(dir string, all []*suiteRun) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	x := junitSuite{Name: "raftcheck suite", Tests: len(all)}
	var md strings.Builder
	md.WriteString("| run | verdict | why | path |\n|---|---|---|---|\n")
	for _, r := range all {
		c := junitCase{Name: r.name, Class: "raftcheck", Seconds: r.took.Seconds()}
		trouble := &junitTrouble{r.result() + ": " + r.why, r.dir}
		switch {
		case r.begun && r.code == exitValid:
		case r.begun && r.code == exitInvalid:
			c.Failure = trouble
			x.Failures++
		default:
			c.Error = trouble
			x.Errors++
		}
		x.Cases = append(x.Cases, c)
		fmt.Fprintf(&md, "| %s | %s | %s | %s |\n", cell(r.name), r.result(), cell(r.why), cell(r.dir))
	}
	raw, err := xml.MarshalIndent(x, "", "  ")
	if err != nil {
		return err
	}
	raw = append([]byte(xml.Header), append(raw, '\n')...)
	if err := os.WriteFile(filepath.Join(dir, "junit.xml"), raw, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "summary.md"), []byte(md.String()), 0o644)
}

// cell makes a text fit for a cell of a Markdown table, in which nothing is markup.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "`", "'").Replace(s)
}
