package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/pkg/stdcopy"
)

// frame is one of the engine's.
func frame(stream stdcopy.StdType, text string) []byte {
	head := [8]byte{byte(stream)}
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head[:], text...)
}

// TestFollowerTwice reads overlapping streams, and wants every line once: lines of one stamp,
// lines that the two streams wrote out of order, and one that the engine had cut.
func TestFollowerTwice(t *testing.T) {
	const a, b, c = "2026-01-02T03:04:05.000000001Z ", "2026-01-02T03:04:05.000000002Z ",
		"2026-01-02T03:04:05.000000003Z "
	all := [][]byte{
		frame(stdcopy.Stdout, a+"one\n"), frame(stdcopy.Stdout, a+"one\n"),
		frame(stdcopy.Stdout, c+"three\n"),
		frame(stdcopy.Stderr, b+"oops\n"),
		frame(stdcopy.Stdout, c+"cut "), frame(stdcopy.Stderr, c+"and "),
		frame(stdcopy.Stdout, c+"in two\n"), frame(stdcopy.Stderr, c+"again\n"),
		frame(stdcopy.Stdout, c+"no end"),
	}
	upTo := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bytes.Join(all[:upTo], nil))
	}))
	defer srv.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+srv.Listener.Addr().String())
	e := unconnected(t)
	dir := t.TempDir()
	f, err := newFollower(e, "container", dir, "n1")
	must(t, err)
	defer f.stop()
	for upTo = range len(all) + 1 {
		must(t, f.copy(t.Context(), false))
	}
	upTo = len(all)
	must(t, f.copy(t.Context(), true)) // the process ended
	got, err := os.ReadFile(filepath.Join(dir, "n1.log"))
	must(t, err)
	want := "one\none\nthree\noops\ncut in two\nand again\nno end\n"
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestBadFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		why  string
	}{
		{"cut in the head", []byte{1, 0}, "unexpected EOF"},
		{"cut in the payload", frame(stdcopy.Stdout, "abc")[:9], "cut short"},
		{"an error of the engine's own", frame(stdcopy.Systemerr, "disk full"), "disk full"},
		{"a size beyond reason", []byte{1, 0, 0, 0, 255, 255, 255, 255}, "4294967295 bytes"},
	} {
		_, _, err := readFrame(bytes.NewReader(c.in))
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.why)
		}
	}
	if _, _, err := readFrame(strings.NewReader("")); !errors.Is(err, io.EOF) {
		t.Errorf("the end: got %v, want %v", err, io.EOF)
	}
}

func TestTail(t *testing.T) {
	var w tail
	for range 100 {
		_, _ = w.Write([]byte(strings.Repeat("x", 99) + "\n"))
	}
	_, _ = w.Write([]byte("the end\n"))
	if s := w.String(); len(s) > tailSize || !strings.HasSuffix(s, "x\nthe end") {
		t.Errorf("got %d bytes that end in %q", len(s), s[len(s)-20:])
	}
}
