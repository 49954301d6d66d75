package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// KeepProgram copies a node's program to where nobody changes it, and names the copy. Its path
// holds the digest of its contents, so it also says what was run; the same program has one copy.
func KeepProgram(path string) (string, error) {
	from, err := os.Open(path)
	if err != nil {
		return "", &Error{Problem: "read the node's program", Err: err,
			Advice: "correct its path; examples/build.sh builds some real systems"}
	}
	defer from.Close()
	dir := programs()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	to, err := os.CreateTemp(dir, "new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(to.Name()) }() // it has another name by then, if all is well
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, sum), from)
	if err := errors.Join(err, to.Chmod(0o755), to.Close()); err != nil {
		return "", err
	}
	kept := filepath.Join(dir, hex.EncodeToString(sum.Sum(nil))[:16], filepath.Base(path))
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return "", err
	}
	if exists(kept) {
		return kept, nil
	}
	return kept, os.Rename(to.Name(), kept)
}

// programs is where the copies are.
func programs() string {
	return filepath.Join(filepath.Dir(homes("")), "programs")
}

// RemovePrograms removes all copies. No run must be under way.
func RemovePrograms() error {
	return os.RemoveAll(programs())
}
