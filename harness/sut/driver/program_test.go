package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// TestMain lets this test be the client program, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "client-program" {
		clientProgram()
		return
	}
	os.Exit(m.Run())
}

// clientProgram answers by the key, or by the function if there is none.
func clientProgram() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var a ask
		if json.Unmarshal(in.Bytes(), &a) != nil {
			return
		}
		answers := map[string]string{
			"there": `"value":"17"`, "empty": `"value":""`, "gone": `"error":{"code":20}`,
			"swaps": `"swapped":true`, "other": `"swapped":false,"value":"9"`,
			"differs": `"error":{"code":22,"text":"no"}`, "busy": `"error":{"code":11}`,
			"late": `"error":{"code":0,"text":"timed out"}`, "crash": `"error":{"code":13}`,
			"own":    `"error":{"code":1000,"text":"mine","definite":true}`,
			"unsure": `"error":{"code":11,"definite":false}`,
			"":       `"status":{"role":"leader","leader":"n1","term":3}`,
			"pid":    fmt.Sprintf(`"value":"%d"`, os.Getpid()),
		}
		switch a.Key {
		case "ends":
			return
		case "hangs":
			select {}
		case "nonsense":
			fmt.Println("?")
		case "mistaken":
			fmt.Println(`{"id":77}`)
		default:
			fmt.Printf("{\"id\":%d,%s}\n", a.ID, answers[a.Key])
		}
	}
}

func programConnOf(t *testing.T) (*System, sut.KV) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, "name: p\nprogram: {command: ["+self+", client-program, '{{.Node.ID}}']}\n", nil)
	return s, dial(t, s, sut.Node{ID: "n1"})
}

func TestAProgramAnswersReadsAndSwaps(t *testing.T) {
	s, c := programConnOf(t)
	for key, want := range map[string]sut.Value{
		"there": {Data: "17", Present: true}, "empty": {Present: true}, "gone": {},
	} {
		if got, err := c.Get(t.Context(), key); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", key, got, err, want)
		}
	}
	for key, want := range map[string]sut.CASResult{
		"swaps": {Swapped: true}, "other": {Found: &sut.Value{Data: "9", Present: true}},
		"differs": {}, "gone": {Found: &sut.Value{}},
	} {
		got, err := c.CAS(t.Context(), key, "1", "2")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", key, err, diff)
		}
	}
	st, err := s.Status(t.Context(), sut.Node{ID: "n1"})
	if err != nil || st.Term != 3 || st.Leader != "n1" {
		t.Errorf("status %+v, %v", st, err)
	}
	_ = s.helper(sut.Node{ID: "n1"}).Close()
}

func TestWhatAProgramSaysOfAnErrorDecides(t *testing.T) {
	_, c := programConnOf(t)
	for key, definite := range map[string]bool{
		"busy": true, "gone": true, "own": true,
		"late": false, "crash": false, "unsure": false,
		"ends": false, "nonsense": false, "mistaken": false,
	} {
		err := c.Put(t.Context(), key, "v")
		if err == nil || sut.Definite(err) != definite {
			t.Errorf("%s: got %v, want definite %v", key, err, definite)
		}
	}
}

func TestAProgramThatHangsIsEndedAndAnotherStarted(t *testing.T) {
	_, c := programConnOf(t)
	first, err := c.Get(t.Context(), "pid")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Get(t.Context(), "pid"); err != nil || again != first {
		t.Errorf("asked again: process %v, %v, want %v", again, err, first)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = c.Put(ctx, "hangs", "v")
	if !errors.Is(err, context.DeadlineExceeded) || sut.Definite(err) {
		t.Errorf("got %v", err)
	}
	if next, err := c.Get(t.Context(), "pid"); err != nil || next == first {
		t.Errorf("after that: process %v, %v, want another than %v", next, err, first)
	}
}

func TestAProgramThatIsNotThereHasDoneNothing(t *testing.T) {
	s := open(t, "name: p\nprogram: {command: [/nowhere/client]}\n", nil)
	err := dial(t, s, sut.Node{ID: "n1"}).Put(t.Context(), "k", "v")
	if !sut.Definite(err) || !strings.Contains(err.Error(), "/nowhere/client") {
		t.Errorf("got %v", err)
	}
}
