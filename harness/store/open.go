package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Open finds a saved run. The reference is the path of a run directory, the path of a history file,
// "latest", or the name of a run in the store directory or the beginning of it, if only one run
// begins so. A history.jsonl that stands in a run directory is that run. The caller closes it.
func Open(store, ref string) (*Run, error) {
	if ref == "" {
		return nil, &Error{errors.New("no run was named"), advice(store)}
	}
	if ref != Latest {
		if info, err := os.Stat(ref); err == nil {
			return openPath(ref, info)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open run %s: %w", ref, err)
		}
	}
	return openName(store, ref)
}

func openPath(path string, info fs.FileInfo) (*Run, error) {
	if info.IsDir() {
		return openDir(path)
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{fmt.Errorf("open %s: neither a directory nor a file", path),
			"name a run directory or a history file"}
	}
	dir, base := filepath.Dir(path), filepath.Base(path)
	if isHistory(base) && exists(filepath.Join(dir, ConfigFile)) {
		return openDir(dir)
	}
	return &Run{id: base, history: path}, nil
}

func openDir(path string) (*Run, error) {
	// The link itself must not become the name, nor change beneath our feet.
	if target, err := os.Readlink(path); err == nil && filepath.Base(path) == Latest {
		path = filepath.Join(filepath.Dir(path), target)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open run %s: %w", path, err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open run %s: %w", path, err), root.Close())
	}
	r := &Run{id: filepath.Base(abs), store: filepath.Dir(abs), path: path, root: root}
	for _, name := range []string{HistoryFile, HistoryFile + ".zst"} {
		if _, err := root.Stat(name); err == nil {
			r.history = filepath.Join(path, name)
			return r, nil
		}
	}
	return nil, errors.Join(&Error{
		fmt.Errorf("open run %s: there is no %s in it", path, HistoryFile),
		notARun(path)}, root.Close())
}

// notARun says what to do about a directory that is no run; a store directory is a likely slip.
func notARun(path string) string {
	if runs, err := List(path); err == nil && len(runs) > 0 {
		return fmt.Sprintf("it holds %d runs; name one of them, the last is %s",
			len(runs), filepath.Join(path, runs[0].ID))
	}
	return "name a run directory, a history file, or latest"
}

func openName(store, ref string) (*Run, error) {
	if ref == Latest {
		if exists(filepath.Join(store, Latest)) {
			return openDir(filepath.Join(store, Latest))
		}
		return nil, &Error{fmt.Errorf("there is no latest run in %s", store), advice(store)}
	}
	runs, err := List(store)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, e := range runs {
		if e.ID == ref {
			return openDir(filepath.Join(store, ref))
		}
		if strings.HasPrefix(e.ID, ref) {
			found = append(found, e.ID)
		}
	}
	switch len(found) {
	case 1:
		return openDir(filepath.Join(store, found[0]))
	case 0:
		return nil, &Error{
			fmt.Errorf("%s is neither a file, nor a directory, nor a run in %s", ref, store),
			advice(store)}
	}
	return nil, &Error{fmt.Errorf("%s may be any of %d runs in %s", ref, len(found), store),
		"write more of the name: " + strings.Join(found[:min(3, len(found))], ", ")}
}

// advice says what could be named instead.
func advice(store string) string {
	runs, err := List(store)
	if err != nil || len(runs) == 0 {
		return fmt.Sprintf("there is no run in %s yet; start one with raftcheck test, "+
			"or name the store directory with --store", store)
	}
	return fmt.Sprintf("name a run directory, a history file, or latest; the last run is %s",
		runs[0].ID)
}

// Entry is one run in a store.
type Entry struct {
	// ID is the run's name and that of its directory.
	ID string
	// Began is when the run began, as its name tells; zero if it does not tell.
	Began time.Time
}

// List gives the runs of a store directory, the latest first. A directory is a run if there is a
// history in it. That the store does not exist is [fs.ErrNotExist].
func List(store string) ([]Entry, error) {
	entries, err := os.ReadDir(store)
	if err != nil {
		return nil, fmt.Errorf("list runs in %s: %w", store, err)
	}
	var runs []Entry
	for _, e := range entries {
		if !e.IsDir() || !hasHistory(filepath.Join(store, e.Name())) {
			continue
		}
		runs = append(runs, Entry{ID: e.Name(), Began: began(e.Name())})
	}
	slices.SortFunc(runs, func(a, b Entry) int {
		if c := b.Began.Compare(a.Began); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return runs, nil
}

func hasHistory(dir string) bool {
	return exists(filepath.Join(dir, HistoryFile)) || exists(filepath.Join(dir, HistoryFile+".zst"))
}

func isHistory(base string) bool { return base == HistoryFile || base == HistoryFile+".zst" }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
