package store_test

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/raftcheck/raftcheck/harness/store"
)

func TestAFullDiskIsReportedAndLeavesNoHalfFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("raftcheck-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("a small file system can not be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r, err := store.Create(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	err = r.Write(store.ReportHTML, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
		return err
	})
	e, ok := errors.AsType[*store.Error](err)
	if !ok || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(e.Hint(), "free some space") {
		t.Errorf("got %v, want %v with a hint", err, syscall.ENOSPC)
	}
	entries, err := fs.ReadDir(r.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != store.NodesDir {
		t.Errorf("got %v in the run directory, want %s alone", entries, store.NodesDir)
	}
}
