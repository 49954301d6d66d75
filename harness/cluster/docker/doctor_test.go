package docker

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestExamine sees a healthy machine, with the abilities of the agent, and leaves nothing.
func TestExamine(t *testing.T) {
	e := testEngine(t)
	image := testImage(t, e)
	found := map[string]Finding{}
	for _, f := range e.Examine(t.Context(), func(context.Context) (string, error) {
		return image, nil
	}) {
		t.Logf("%+v", f)
		found[f.Name] = f
	}
	for _, name := range []string{"Docker engine", "tool image", "cut links",
		"pause and kill processes"} {
		if !found[name].OK {
			t.Errorf("%s: got %+v, want ok", name, found[name])
		}
	}
	mustBeLeft(t, e, "doctor", 0)
}

// TestExamineWithout names what is missing, with a hint.
func TestExamineWithout(t *testing.T) {
	e := testEngine(t)
	all := e.Examine(t.Context(), func(context.Context) (string, error) {
		return "", errors.New("no such thing")
	})
	last := all[len(all)-1]
	if last.OK || last.Optional || last.Hint == "" || !strings.Contains(last.Detail, "no such thing") {
		t.Errorf("without a tool image: got %+v, want it missing, with a hint", last)
	}
}
