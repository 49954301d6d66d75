package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		exit int
		want string
	}{
		"one seed":            {[]string{"-seed", "3"}, 0, "all invariants held"},
		"one seed, verbose":   {[]string{"-seed", "3", "-v"}, 0, "become_leader"},
		"some seeds":          {[]string{"-seeds", "5", "-workers", "2"}, 0, "5 seeds, 0 violated"},
		"from a later one":    {[]string{"-from", "9", "-seeds", "2"}, 0, "2 seeds, 0 violated"},
		"an unknown flag":     {[]string{"-sneeds", "5"}, 254, "flag provided but not defined"},
		"a stray argument":    {[]string{"17"}, 254, "hint: "},
		"a seed that is none": {[]string{"-seed", "x"}, 254, "invalid value"},
	} {
		var out bytes.Buffer
		if got := run(c.args, &out, &out); got != c.exit || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit %d, want %d and %q in\n%s", name, got, c.exit, c.want, out.String())
		}
	}
}
