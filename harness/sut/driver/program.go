package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// ProgramPath is where the client driver's container holds a program that is an executable.
const ProgramPath = "/raftcheck-client"

// programConn is a client of one node that a program is: a process of its own, which is asked one
// thing at a time. One that did not answer in time is ended; the next operation starts another.
type programConn struct {
	spec    *programSpec
	program string // the executable, or empty
	at      place

	mu   sync.Mutex // guards what follows, and is held while something is asked
	proc *process
	asks uint64
}

// process is a program that runs.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (s *System) program(n sut.Node) *programConn {
	c := &programConn{spec: s.spec.Program, at: s.place(n, []sut.Node{n})}
	if c.spec.Binary != "" {
		c.program = ProgramPath
		if _, err := os.Stat(ProgramPath); err != nil { // not in such a container
			c.program = s.beside(c.spec.Binary)
			if abs, err := filepath.Abs(c.program); err == nil {
				c.program = abs
			}
		}
		c.at.Program = c.program
	}
	return c
}

// ask is a line to the program, tell one from it.
type (
	ask struct {
		ID       uint64  `json:"id"`
		Function string  `json:"f"`
		Key      string  `json:"key,omitempty"`
		Value    *string `json:"value,omitempty"`
		Old      *string `json:"old,omitempty"`
		New      *string `json:"new,omitempty"`
	}
	tell struct {
		ID      uint64      `json:"id"`
		Value   *string     `json:"value"`
		Swapped bool        `json:"swapped"`
		Status  *sut.Status `json:"status"`
		Error   *refusal    `json:"error"`
	}
	refusal struct {
		Code     int    `json:"code"`
		Text     string `json:"text"`
		Definite *bool  `json:"definite"`
	}
)

// The codes of errors are those of Maelstrom's protocol, which says of each whether it is definite.
const (
	keyAbsent     = 20
	preconditions = 22
)

var definiteCodes = map[int]string{
	1: "node not found", 10: "not supported", 11: "temporarily unavailable",
	12: "malformed request", 14: "aborted", keyAbsent: "key does not exist",
	21: "key already exists", preconditions: "precondition failed", 30: "transaction conflict",
}

// Close implements [sut.Conn]: the program is told by the end of its input, and ended.
func (c *programConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	return nil
}

// end ends the process. The caller holds mu.
func (c *programConn) end() {
	if c.proc == nil {
		return
	}
	_ = c.proc.in.Close()
	_ = c.proc.cmd.Process.Kill()
	_ = c.proc.cmd.Wait() // it was killed
	c.proc = nil
}

// start starts the process, if none runs. The caller holds mu.
func (c *programConn) start() error {
	if c.proc != nil {
		return nil
	}
	words, err := fillAll(c.spec.Command, c.at)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		words = []string{c.program, c.at.Node.Addr}
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stderr = os.Stderr // where a driver's last words are looked for
	in, badIn := cmd.StdinPipe()
	out, badOut := cmd.StdoutPipe()
	if err := errors.Join(badIn, badOut); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.proc = &process{cmd, in, bufio.NewReaderSize(out, 1<<16)}
	return nil
}

// do asks the program, and waits for its answer until ctx is done. That there is no program to ask
// is definite; so is what the program calls so.
func (c *programConn) do(ctx context.Context, a ask) (tell, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.start(); err != nil {
		return tell{}, sut.Failed(fmt.Errorf("start the client program: %w", err))
	}
	c.asks++
	a.ID = c.asks
	type read struct {
		tell
		err error
	}
	proc, got := c.proc, make(chan read, 1)
	go func() {
		var r read
		if r.err = json.NewEncoder(proc.in).Encode(a); r.err == nil {
			var line []byte
			if line, r.err = proc.out.ReadBytes('\n'); r.err == nil {
				r.err = json.Unmarshal(line, &r.tell)
			}
		}
		got <- r
	}()
	select {
	case <-ctx.Done():
		c.end() // which ends the reading, too
		<-got
		return tell{}, context.Cause(ctx)
	case r := <-got:
		if r.err == nil && r.ID != a.ID {
			r.err = fmt.Errorf("it answered question %d when it was asked %d", r.ID, a.ID)
		}
		if r.err != nil {
			c.end()
			return tell{}, fmt.Errorf("the client program: %w", r.err)
		}
		return r.tell, r.Error.err()
	}
}

// err is what the program says that went wrong.
func (r *refusal) err() error {
	if r == nil {
		return nil
	}
	known, definite := definiteCodes[r.Code]
	if r.Definite != nil {
		definite = *r.Definite
	}
	if r.Text == "" {
		r.Text = known
	}
	err := refused{fmt.Errorf("code %d: %s", r.Code, r.Text), r.Code}
	if definite {
		return sut.Failed(err)
	}
	return err
}

// refused is an error that the program told, with its code.
type refused struct {
	error
	code int
}

func hasCode(err error, codes ...int) bool {
	r, ok := errors.AsType[refused](err)
	for _, code := range codes {
		if ok && r.code == code {
			return true
		}
	}
	return false
}

// Get implements [sut.KV].
func (c *programConn) Get(ctx context.Context, key string) (sut.Value, error) {
	t, err := c.do(ctx, ask{Function: "get", Key: key})
	switch {
	case hasCode(err, keyAbsent):
		return sut.Value{}, nil
	case err != nil || t.Value == nil:
		return sut.Value{}, err
	}
	return sut.Value{Data: *t.Value, Present: true}, nil
}

// Put implements [sut.KV].
func (c *programConn) Put(ctx context.Context, key, value string) error {
	_, err := c.do(ctx, ask{Function: "put", Key: key, Value: &value})
	return err
}

// CAS implements [sut.KV].
func (c *programConn) CAS(ctx context.Context, key, old, new string) (sut.CASResult, error) {
	t, err := c.do(ctx, ask{Function: "cas", Key: key, Old: &old, New: &new})
	switch {
	case hasCode(err, keyAbsent):
		return sut.CASResult{Found: &sut.Value{}}, nil
	case hasCode(err, preconditions):
		return sut.CASResult{}, nil
	case err != nil:
		return sut.CASResult{}, err
	case !t.Swapped && t.Value != nil:
		return sut.CASResult{Found: &sut.Value{Data: *t.Value, Present: true}}, nil
	}
	return sut.CASResult{Swapped: t.Swapped}, nil
}

// status asks the program how its node stands.
func (c *programConn) status(ctx context.Context) (sut.Status, error) {
	t, err := c.do(ctx, ask{Function: "status"})
	if err == nil && t.Status == nil {
		err = errors.New("the client program answered without a status")
	}
	if err != nil {
		return sut.Status{}, err
	}
	return *t.Status, nil
}
