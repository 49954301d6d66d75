package report

import (
	"crypto/sha256"
	_ "embed" // for the parts of the page
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

// The parts of the page. They are our own, and the only ones that are not escaped.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// WriteHTML writes the report as one page that needs nothing but itself: no other file, no server,
// no network. Whatever comes from the run is escaped, and the page's own policy forbids any script
// but ours.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"clock": clock, "human": human, "list": list,
		"pct": func(at float64) float64 { return at * chartHigh / 100 },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("parse the page: %w", err)
	}
	if err := t.Execute(w, newPage(r)); err != nil {
		return fmt.Errorf("render the page: %w", err)
	}
	return nil
}

// scriptHash is what the page's content security policy knows our script by.
func scriptHash() string {
	sum := sha256.Sum256([]byte(pageJS))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
