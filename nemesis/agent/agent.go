// Package agent is the small program that stands beside a node and breaks it from inside its
// namespaces: it cuts its links, stops and kills its processes, and proves each time that what was
// asked for is in force. The node's own container needs no privilege, no shell and no tool for it.
//
// In a container the agent is process 1 of the pod: it owns the network and the process namespace,
// and the node joins them. So what it installed outlives the node, and the node can not signal it.
// It speaks [wire] over its standard streams. Each family of faults is one file that implements
// [family]; [Run] is the only entry point.
package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// Options say how an agent lives.
type Options struct {
	// Stay keeps the agent alive after the end of its input, until ctx ends. Process 1 of a pod
	// wants it: the node's namespaces live as long as the agent does.
	Stay bool
	// Log tells what the agent does; nil for nothing.
	Log *slog.Logger
}

// handler carries one op out. It returns once the effect was read back; the result is the evidence.
type handler func(ctx context.Context, args json.RawMessage) (any, error)

// family is one kind of faults. Handlers may run concurrently; the family guards its own state.
type family interface {
	// handlers lists the ops.
	handlers() map[string]handler
	// probe tries what the family is made of, and changes nothing for the node.
	probe() wire.Ability
	// close undoes what the family installed, and nothing else. It works from any state.
	close() error
}

// maxInFlight bounds how many requests are served at once.
const maxInFlight = 32

// Run serves requests from in and writes replies to out until ctx ends; without [Options.Stay]
// also until in ends. It undoes its own changes before it returns. An unreadable request ends it.
func Run(ctx context.Context, in io.Reader, out io.Writer, opt Options) error {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	families := newFamilies()
	s := &server{out: out, log: opt.Log, families: families, ops: map[string]handler{}}
	for _, f := range families {
		maps.Copy(s.ops, f.handlers())
	}
	s.ops[wire.OpPing], s.ops[wire.OpProbe] = s.ping, s.probe

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var background sync.WaitGroup
	background.Go(func() { reapOrphans(ctx) })

	err := s.serve(ctx, in)
	if err == nil && opt.Stay {
		<-ctx.Done()
	}
	cancel()
	background.Wait()
	for _, f := range slices.Backward(families) {
		err = errors.Join(err, f.close())
	}
	return err
}

// server is one conversation.
type server struct {
	families []family
	ops      map[string]handler
	log      *slog.Logger

	mu  sync.Mutex // keeps the lines of out whole
	out io.Writer
}

// serve answers requests until in or ctx ends, and returns when all were answered.
func (s *server) serve(ctx context.Context, in io.Reader) error {
	lines, readErr := readLines(ctx, in)
	slots := make(chan struct{}, maxInFlight)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return *readErr
			}
			var req wire.Request
			if err := json.Unmarshal(line, &req); err != nil {
				return fmt.Errorf("request %.80q: %w", line, err)
			}
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				s.answer(s.handle(ctx, req))
			})
		}
	}
}

// readLines reads in on its own goroutine, since a read can not be cancelled. The error is valid
// once the channel is closed.
func readLines(ctx context.Context, in io.Reader) (<-chan []byte, *error) {
	lines, err := make(chan []byte), new(error)
	go func() {
		defer close(lines)
		sc := bufio.NewScanner(in)
		sc.Buffer(make([]byte, 0, 4096), wire.MaxLine)
		for sc.Scan() {
			select {
			case lines <- slices.Clone(sc.Bytes()):
			case <-ctx.Done():
				return
			}
		}
		*err = sc.Err()
	}()
	return lines, err
}

func (s *server) handle(ctx context.Context, req wire.Request) (rep wire.Reply) {
	rep.ID = req.ID
	defer func() {
		if p := recover(); p != nil {
			rep.Result, rep.Error = nil, wire.Errorf(wire.Unverified, "%s: panic: %v", req.Op, p)
		}
		rep.At = time.Now()
		s.log.Debug("request", "op", req.Op, "args", string(req.Args), "err", rep.Error)
	}()
	h := s.ops[req.Op]
	if h == nil {
		rep.Error = wire.Errorf(wire.Unknown, "this agent does not know the op %q", req.Op)
		return rep
	}
	result, err := h(ctx, req.Args)
	if err != nil {
		rep.Error = asWireError(err)
		return rep
	}
	raw, err := json.Marshal(result)
	if err != nil {
		rep.Error = wire.Errorf(wire.Unverified, "encode the result: %v", err)
	}
	rep.Result = raw
	return rep
}

func asWireError(err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return &wire.Error{Kind: e.Kind, Text: err.Error()}
	}
	return &wire.Error{Kind: wire.Unverified, Text: err.Error()}
}

// answer writes one line. A harness that is gone can not be told, so an error only goes to the log.
func (s *server) answer(rep wire.Reply) {
	line, err := json.Marshal(rep)
	if err != nil {
		s.log.Error("encode reply", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.out.Write(append(line, '\n')); err != nil {
		s.log.Error("write reply", "err", err)
	}
}

func (s *server) ping(context.Context, json.RawMessage) (any, error) {
	h := hello()
	h.Version, h.Ops = wire.Version, slices.Sorted(maps.Keys(s.ops))
	return h, nil
}

func (s *server) probe(context.Context, json.RawMessage) (any, error) {
	res := wire.ProbeResult{Abilities: []wire.Ability{}}
	for _, f := range s.families {
		res.Abilities = append(res.Abilities, f.probe())
	}
	return res, nil
}

// decodeArgs reads the arguments of an op strictly: a field that is not known is refused, since
// leaving it out would break something else than what was asked for.
func decodeArgs[T any](raw json.RawMessage) (T, error) {
	var args T
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&args); err != nil {
		return args, wire.Errorf(wire.Refused, "arguments %.200q: %v", raw, err)
	}
	return args, nil
}
