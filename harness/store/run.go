package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Run is one run's directory, or a history file that stands alone. Its methods may be called
// concurrently; two writers of one name are for the caller to keep apart.
type Run struct {
	id    string
	store string
	path  string
	// root is nil when there is only a history file.
	root    *os.Root
	history string
}

// ID is the run's name. For a lone history file it is the file's name.
func (r *Run) ID() string { return r.id }

// Dir is the path of the run directory, empty for a lone history file.
func (r *Run) Dir() string { return r.path }

// FS gives what is in the run directory, or nil for a lone history file.
func (r *Run) FS() fs.FS {
	if r.root == nil {
		return nil
	}
	return r.root.FS()
}

// Path is where name stands in the run directory, to show to people or to hand to others.
func (r *Run) Path(name string) string { return filepath.Join(r.path, name) }

// HistoryPath is where the history is, or will be.
func (r *Run) HistoryPath() string {
	if r.history != "" {
		return r.history
	}
	return r.Path(HistoryFile)
}

// Close releases the directory. What was written stays.
func (r *Run) Close() error {
	if r.root == nil {
		return nil
	}
	return r.root.Close()
}

// errLone is what a writer gets for a history that has no run directory.
var errLone = errors.New("a lone history file has no run directory to write to")

// Append makes the file name, which must not exist yet, for evidence that is written as it
// happens. The caller closes it.
func (r *Run) Append(name string) (*os.File, error) {
	if r.root == nil {
		return nil, errLone
	}
	f, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	if err != nil {
		return nil, unwritable(r.path, err)
	}
	return f, nil
}

// Write puts what the function writes into the file name, all of it or nothing: it goes to a
// temporary file, is synced, and renamed. A full disk surfaces here, and leaves no half file.
func (r *Run) Write(name string, write func(io.Writer) error) error {
	if r.root == nil {
		return errLone
	}
	tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".tmp")
	f, err := r.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return unwritable(r.path, err)
	}
	if err := errors.Join(fill(f, write), f.Close()); err != nil {
		return errors.Join(r.unwritten(name, err), r.root.Remove(tmp))
	}
	if err := r.root.Rename(tmp, name); err != nil {
		return errors.Join(r.unwritten(name, err), r.root.Remove(tmp))
	}
	return nil
}

// unwritten explains why name could not be written. The temporary file's name would only confuse.
func (r *Run) unwritten(name string, err error) error {
	if full(err) {
		return unwritable(r.path, err)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("write %s: %w", r.Path(name), err)
}

func fill(f *os.File, write func(io.Writer) error) error {
	w := bufio.NewWriterSize(f, 64<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// WriteJSON writes v as indented JSON, all or nothing. Equal values give equal bytes.
func (r *Run) WriteJSON(name string, v any) error {
	return r.Write(name, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	})
}

// ReadJSON reads what [Run.WriteJSON] wrote. That there is no such file is [fs.ErrNotExist].
func (r *Run) ReadJSON(name string, v any) error {
	if r.root == nil {
		return fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	b, err := r.root.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Path(name), err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", r.Path(name), err)
	}
	return nil
}

// MarkLatest makes "latest" in the store point to this run. The link is renamed into place, so it
// always points to one run or another. Call it once the history has its header: from then on even
// a run that is killed can be judged.
func (r *Run) MarkLatest() error {
	if r.store == "" {
		return errLone
	}
	root, err := os.OpenRoot(r.store)
	if err != nil {
		return unwritable(r.store, err)
	}
	defer root.Close()
	tmp := "." + Latest + "-" + r.id
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(r.store, err)
	}
	if err := root.Symlink(r.id, tmp); err != nil {
		return unwritable(r.store, err)
	}
	if err := root.Rename(tmp, Latest); err != nil {
		return errors.Join(unwritable(r.store, err), root.Remove(tmp))
	}
	return nil
}

// Discard removes the directory of a run that never began: one without a history. A run that has
// one is evidence, and is left alone.
func (r *Run) Discard() error {
	if r.store == "" {
		return errLone
	}
	if info, err := r.root.Stat(HistoryFile); err == nil && info.Size() > 0 {
		return fmt.Errorf("discard run %s: it has a history", r.id)
	}
	root, err := os.OpenRoot(r.store)
	if err != nil {
		return fmt.Errorf("discard run %s: %w", r.id, err)
	}
	defer root.Close()
	if err := root.RemoveAll(r.id); err != nil {
		return fmt.Errorf("discard run %s: %w", r.id, err)
	}
	return nil
}

// began reads the time out of a name that [NewID] made; zero if there is none.
func began(id string) time.Time {
	stamp, _, _ := strings.Cut(id, "-")
	t, err := time.Parse("20060102T150405Z", stamp)
	if err != nil {
		return time.Time{}
	}
	return t
}
