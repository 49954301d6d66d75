package store_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/store"
)

var start = time.Date(2026, 11, 21, 7, 15, 0, 0, time.UTC)

// newRun makes a run that has a history, as one that was really started.
func newRun(t *testing.T, dir, id string) *store.Run {
	t.Helper()
	r, err := store.Create(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	f, err := r.Append(store.HistoryFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNewIDIsAFileNameThatSortsByTime(t *testing.T) {
	for _, c := range []struct {
		why, workload, want string
		seed                uint64
	}{
		{"the usual", "register", "20261121T071500Z-register-00000000000004d2", 1234},
		{"the largest seed", "set", "20261121T071500Z-set-ffffffffffffffff", 1<<64 - 1},
		{"a path does not get out", "../../etc", "20261121T071500Z-etc-0000000000000000", 0},
		{"nothing that could stand in a name", "…", "20261121T071500Z-run-0000000000000000", 0},
	} {
		if got := store.NewID(start, c.workload, c.seed); got != c.want {
			t.Errorf("%s: got %s want %s", c.why, got, c.want)
		}
	}
	berlin := time.FixedZone("CET", 3600)
	if got, want := store.NewID(start.In(berlin), "a", 1), store.NewID(start, "a", 1); got != want {
		t.Errorf("got %s in another zone, want %s", got, want)
	}
}

func TestCreateGivesEachOfManyRunsItsOwnDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "store")
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			r, err := store.Create(dir, "same")
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = r.ID()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != len(ids) {
		t.Errorf("got %v, want %d different names", ids, len(ids))
	}
}

func TestCreateRefusesNamesThatWouldEscapeOrHide(t *testing.T) {
	for _, id := range []string{"", ".", "..", "a/b", "../a", "latest", ".hidden"} {
		if r, err := store.Create(t.TempDir(), id); err == nil {
			t.Errorf("%q: got run %s, want an error", id, r.ID())
		}
	}
}

func TestCreateSaysWhatToDoAboutAStoreThatCanNotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	readOnly := filepath.Join(t.TempDir(), "read-only")
	if err := os.Mkdir(readOnly, 0o555); err != nil {
		t.Fatal(err)
	}
	dirs := []string{file, filepath.Join(file, "below"), "/proc/raftcheck"}
	if os.Geteuid() != 0 { // root may write anywhere
		dirs = append(dirs, readOnly)
	}
	for _, dir := range dirs {
		_, err := store.Create(dir, "a")
		e, ok := errors.AsType[*store.Error](err)
		if !ok || !strings.Contains(e.Hint(), "--store") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want an error with the path and a hint", dir, err)
		}
	}
}

func TestWriteLeavesTheOldFileWholeWhenItCanNotBeReplaced(t *testing.T) {
	r := newRun(t, t.TempDir(), "a")
	if err := r.WriteJSON(store.VerdictFile, "first <b>"); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("no space left")
	err := r.Write(store.VerdictFile, func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("x", 1<<20)); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want the writer's error", err)
	}
	b, err := os.ReadFile(r.Path(store.VerdictFile))
	if got, want := string(b), "\"first <b>\"\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	var names []string
	entries, err := fs.ReadDir(r.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{store.HistoryFile, store.NodesDir, store.VerdictFile}
	if d := cmp.Diff(names, want); d != "" {
		t.Errorf("what is left in the directory (-got +want):\n%s", d)
	}
}

func TestWriteAndAppendStayInTheRunDirectory(t *testing.T) {
	r := newRun(t, t.TempDir(), "a")
	if err := r.WriteJSON("../escaped", 1); err == nil {
		t.Error("wrote outside of the run directory")
	}
	if _, err := r.Append("../escaped"); err == nil {
		t.Error("appended outside of the run directory")
	}
	if _, err := r.Append(store.HistoryFile); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v: a history that exists must not be written to again", err)
	}
}

func TestDiscardRemovesOnlyARunThatNeverBegan(t *testing.T) {
	dir := t.TempDir()
	never := newRun(t, dir, "never")
	if err := never.WriteJSON(store.ConfigFile, 1); err != nil {
		t.Fatal(err)
	}
	if err := never.Discard(); err != nil {
		t.Error(err)
	}
	began, err := store.Create(dir, "began")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = began.Close() })
	f, err := began.Append(store.HistoryFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("{}\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if began.Discard() == nil {
		t.Error("a run with a history was discarded")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "began" {
		t.Errorf("got %v left, want began alone", entries)
	}
}

func TestMarkLatestPointsToOneRunAtEachMoment(t *testing.T) {
	dir := t.TempDir()
	a, b := newRun(t, dir, "a"), newRun(t, dir, "b")
	if err := a.MarkLatest(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			for _, r := range []*store.Run{b, a} {
				if err := r.MarkLatest(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for {
		r, err := store.Open(dir, store.Latest)
		if err != nil {
			t.Fatal(err)
		}
		if id := r.ID(); id != "a" && id != "b" {
			t.Fatalf("latest is %q, want a or b", id)
		}
		_ = r.Close()
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestOpenFindsARunByEachOfItsNames(t *testing.T) {
	dir := t.TempDir()
	r := newRun(t, dir, "20261121T071500Z-register-01")
	newRun(t, dir, "20261121T071501Z-set-01")
	if err := r.WriteJSON(store.ConfigFile, 1); err != nil {
		t.Fatal(err)
	}
	if err := r.MarkLatest(); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{
		store.Latest, filepath.Join(dir, store.Latest), r.ID(), "20261121T071500Z", r.Dir(),
		r.Dir() + "/", r.Path(store.HistoryFile),
		filepath.Join(dir, store.Latest, store.HistoryFile),
	} {
		got, err := store.Open(dir, ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if got.ID() != r.ID() {
			t.Errorf("%s: got run %s want %s", ref, got.ID(), r.ID())
		}
		if filepath.Base(got.HistoryPath()) != store.HistoryFile || got.FS() == nil {
			t.Errorf("%s: got history %s", ref, got.HistoryPath())
		}
		_ = got.Close()
	}
}

func TestOpenTakesALoneHistoryAndWritesNothingBesideIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "from-a-friend.jsonl.zst")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := store.Open("no-store", file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.HistoryPath() != file || r.FS() != nil || r.Dir() != "" {
		t.Errorf("got history %q, dir %q", r.HistoryPath(), r.Dir())
	}
	if r.WriteJSON(store.VerdictFile, 1) == nil || r.MarkLatest() == nil {
		t.Error("wrote beside a file that is not ours")
	}
	if _, err := r.Append("x"); err == nil {
		t.Error("appended beside a file that is not ours")
	}
}

func TestOpenSaysWhatToDoInstead(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	newRun(t, dir, "20261121T071500Z-register-01")
	newRun(t, dir, "20261121T071500Z-register-02")
	for _, c := range []struct{ why, store, ref, err, hint string }{
		{"nothing named", dir, "", "no run was named", "the last run is 2026"},
		{"no such thing", dir, "nope", "neither a file", "the last run is 2026"},
		{"no such thing in an empty store", empty, "nope", "neither a file", "raftcheck test"},
		{"no such store", "/nowhere", "latest", "no latest run", "raftcheck test"},
		{"latest before any run", empty, "latest", "no latest run", "raftcheck test"},
		{"two runs begin so", dir, "20261121", "any of 2 runs", "more of the name"},
		{"the store itself", ".", dir, "no history.jsonl", "it holds 2 runs"},
		{"a directory that is no run", ".", empty, "no history.jsonl", "history file"},
		{"a device", dir, "/dev/null", "neither a directory nor a file", "run directory"},
	} {
		_, err := store.Open(c.store, c.ref)
		e, ok := errors.AsType[*store.Error](err)
		if !ok || !strings.Contains(err.Error(), c.err) || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s: got %q, hint %q, want %q, hint %q",
				c.why, fmt.Sprint(err), hint(e), c.err, c.hint)
		}
	}
}

func hint(e *store.Error) string {
	if e == nil {
		return ""
	}
	return e.Hint()
}

func TestListGivesTheLatestRunFirstAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	newRun(t, dir, "20261121T071500Z-register-01")
	last := newRun(t, dir, "20261121T081500Z-register-01")
	newRun(t, dir, "by-hand")
	if err := last.MarkLatest(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "not-a-run"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := store.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Entry{
		{ID: "20261121T081500Z-register-01", Began: start.Add(time.Hour)},
		{ID: "20261121T071500Z-register-01", Began: start},
		{ID: "by-hand"},
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	if _, err := store.List(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that there is no such store", err)
	}
}
