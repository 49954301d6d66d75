package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/driver"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// interpreter is the one goroutine that owns generators and recorder. It takes operations from the
// generators, hands each to a free worker, and writes down what it hears, in the order in which it
// hears it.
//
//	generator ─► interpreter ─► worker 0..n ─► Clients
//	             │    ▲  ▲ ◄──────────┘
//	  recorder ◄─┘    │  └─ observations (status, exits)
//	                  └──── nemesis
//
// Completions are taken before new operations are handed out: an operation that has ended but is
// not yet written down would seem concurrent with those that follow it.
type interpreter struct {
	rec      Recorder
	now      func() time.Duration
	clients  Clients
	progress func(Progress)

	workers []*worker
	free    []int // workers without work, longest idle first
	next    history.Process
	ended   chan ended // every worker has room in it

	nemesis     Nemesis // nil for none
	nemesisMax  int     // how many things it does at once
	nemesisBusy int     // how many it does now
	nemesisDone chan history.Op

	named    func([]sut.NodeID) []sut.Node
	moved    func([]sut.Node) // told who the members are when they change
	observed <-chan history.Op
	seen     func() (leader sut.NodeID, term uint64)
	counts   Progress
	flushed  time.Duration
	followed time.Duration // when the members were last asked for
	told     time.Duration
}

// ended is a worker's word that its operation is over.
type ended struct {
	worker int
	driver.Done
}

// worker does one operation at a time, for one process after the other. Half of the workers stay
// with their node whatever happens, unless the test says otherwise, so that every node is always
// asked; the others go where the leader is said to be.
type worker struct {
	queue   chan history.Op // room for one
	process history.Process
	home    int // index of the node it begins with
	at      int // index of the node it talks to
	roams   bool
}

func newInterpreter(
	t *Test, rec Recorder, clients Clients, nodes []sut.Node, now func() time.Duration,
) *interpreter {
	in := &interpreter{
		rec: rec, now: now, clients: clients, progress: t.Progress,
		ended:       make(chan ended, t.Concurrency),
		nemesisMax:  max(t.FaultsAtOnce, 1),
		nemesisDone: make(chan history.Op, max(t.FaultsAtOnce, 1)),
	}
	in.counts.Nodes = nodes
	for i := range t.Concurrency {
		home := i % len(nodes)
		in.workers = append(in.workers, &worker{
			queue: make(chan history.Op, 1), process: history.Process(i), home: home, at: home,
			roams: t.Roaming.roams(i, len(nodes)),
		})
		in.free = append(in.free, i)
	}
	in.next = history.Process(t.Concurrency)
	return in
}

// start starts the workers. The function that it returns ends them, once nothing is under way.
func (in *interpreter) start(ctx context.Context) (stop func()) {
	joined := make(chan struct{}, len(in.workers))
	for i, w := range in.workers {
		go func() {
			defer func() { joined <- struct{}{} }()
			for op := range w.queue {
				in.ended <- ended{i, in.clients.Do(ctx, op)}
			}
		}()
	}
	return func() {
		for _, w := range in.workers {
			close(w.queue)
		}
		for range in.workers {
			<-joined
		}
	}
}

// run takes operations from gen until it is done, or ctx is; with faults, also what the nemesis
// wants to do in that time. It returns when nothing is under way. The error is one of the recorder:
// what can not be written down must not go on.
func (in *interpreter) run(ctx context.Context, gen generator.Generator, faults bool) error {
	err := in.loop(ctx, gen, faults)
	if err != nil {
		in.drain()
	}
	return err
}

// drain waits for what is under way and forgets how it ended.
func (in *interpreter) drain() {
	for in.nemesisBusy > 0 || len(in.free) < len(in.workers) {
		select {
		case e := <-in.ended:
			in.free = append(in.free, e.worker)
		case <-in.nemesisDone:
			in.nemesisBusy--
		case <-in.observed:
		}
	}
}

func (in *interpreter) loop(ctx context.Context, gen generator.Generator, faults bool) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	genDone, faultsDone := false, !faults || in.nemesis == nil
	for {
		if err := in.takeAll(gen); err != nil {
			return err
		}
		if ctx.Err() != nil {
			genDone, faultsDone = true, true
		}
		wake := in.now() + time.Second
		if !genDone {
			state, at, err := in.offer(gen)
			if err != nil {
				return err
			}
			if state == generator.Ready {
				continue
			}
			genDone = state == generator.Done
			faultsDone = faultsDone || genDone // nobody is left to see them
			wake = min(wake, at)
		}
		if !faultsDone && in.nemesisBusy < in.nemesisMax {
			state, at, err := in.strike(ctx)
			if err != nil {
				return err
			}
			if state == generator.Ready {
				continue
			}
			faultsDone = state == generator.Done
			wake = min(wake, at)
		}
		if genDone && faultsDone && in.nemesisBusy == 0 && len(in.free) == len(in.workers) {
			return in.rec.Flush()
		}
		timer.Reset(max(wake-in.now(), 0))
		if err := in.waitOne(ctx, gen, timer, genDone && faultsDone); err != nil {
			return err
		}
	}
}

// waitOne sleeps until something happens, and takes it.
func (in *interpreter) waitOne(
	ctx context.Context, gen generator.Generator, timer *time.Timer, draining bool,
) error {
	cancelled := ctx.Done()
	if draining {
		cancelled = nil // it is known already
	}
	select {
	case e := <-in.ended:
		return in.completed(e, gen)
	case op := <-in.nemesisDone:
		return in.struck(op)
	case op := <-in.observed:
		return in.record(op)
	case <-timer.C:
		return in.tick()
	case <-cancelled:
		return nil
	}
}

// takeAll takes whatever has happened already.
func (in *interpreter) takeAll(gen generator.Generator) error {
	for {
		select {
		case e := <-in.ended:
			if err := in.completed(e, gen); err != nil {
				return err
			}
		case op := <-in.nemesisDone:
			if err := in.struck(op); err != nil {
				return err
			}
		case op := <-in.observed:
			if err := in.record(op); err != nil {
				return err
			}
		default:
			return in.tick()
		}
	}
}

// tick flushes each second, so that a killed harness leaves a history behind, and tells how it
// goes.
func (in *interpreter) tick() error {
	now := in.now()
	if in.nemesis != nil && now-in.followed >= 50*time.Millisecond {
		in.followed = now
		in.follow(in.nemesis.Members())
	}
	if in.progress != nil && now-in.told >= 250*time.Millisecond {
		in.told = now
		in.counts.At = now
		in.counts.Leader, in.counts.Term = in.seen()
		in.progress(in.counts)
	}
	if now-in.flushed < time.Second {
		return nil
	}
	in.flushed = now
	return in.rec.Flush()
}

// offer hands the generator's next operation to the worker that has been idle longest. The time is
// when to ask again.
func (in *interpreter) offer(gen generator.Generator) (generator.State, time.Duration, error) {
	forever := time.Duration(1<<63 - 1)
	if len(in.free) == 0 {
		return generator.Wait, forever, nil
	}
	i := in.free[0]
	w := in.workers[i]
	now := in.now()
	op, state := gen.Next(now, i)
	switch {
	case state == generator.Done:
		return state, forever, nil
	case state == generator.Wait && op.Time == 0:
		return state, forever, nil
	case state == generator.Wait:
		return state, op.Time, nil
	}
	op.Process, op.Type, op.Time = w.process, history.Invoke, now
	if op.Node == "" {
		op.Node = string(in.counts.Nodes[w.at].ID)
	}
	if err := in.record(op); err != nil {
		return state, 0, err
	}
	in.free = in.free[1:]
	w.queue <- op
	return state, 0, nil
}

// completed writes down how an operation ended, and retires the process if nobody can know.
func (in *interpreter) completed(e ended, gen generator.Generator) error {
	w := in.workers[e.worker]
	in.free = append(in.free, e.worker)
	gen.Update(e.Op)
	if e.Op.Type == history.Info {
		w.process = in.next
		in.next++
	}
	in.move(w, e.Done)
	switch e.Op.Type {
	case history.Ok:
		in.counts.Ok++
	case history.Fail:
		in.counts.Fail++
	default:
		in.counts.Info++
	}
	return in.record(e.Op)
}

// move sends a roaming worker to the leader, if its node named one, and on to the next node after
// any other trouble.
func (in *interpreter) move(w *worker, d driver.Done) {
	if !w.roams || d.Op.Type == history.Ok {
		return
	}
	for i, n := range in.counts.Nodes {
		if d.Leader != "" && n.ID == d.Leader {
			w.at = i
			return
		}
	}
	w.at = (w.at + 1) % len(in.counts.Nodes)
}

// strike begins the nemesis's next step, if it is time.
func (in *interpreter) strike(ctx context.Context) (generator.State, time.Duration, error) {
	now := in.now()
	op, state := in.nemesis.Next(now, 0)
	if state != generator.Ready {
		at := op.Time
		if at == 0 {
			at = time.Duration(1<<63 - 1)
		}
		return state, at, nil
	}
	op.Process, op.Type, op.Time = history.Nemesis, history.Invoke, now
	if err := in.record(op); err != nil {
		return state, 0, err
	}
	in.nemesisBusy++
	go func() {
		done := in.nemesis.Do(ctx, op)
		done.Process, done.Type, done.Time = history.Nemesis, history.Info, in.now()
		in.nemesisDone <- done
	}()
	return state, time.Duration(1<<63 - 1), nil
}

func (in *interpreter) struck(op history.Op) error {
	in.nemesisBusy--
	in.nemesis.Update(op)
	in.counts.Broken = in.nemesis.Active()
	return in.record(op)
}

// follow sends clients to who the members are now. Those whose node is none any more go to another.
func (in *interpreter) follow(members []sut.NodeID) {
	if members == nil {
		return
	}
	before := in.counts.Nodes
	same := func(n sut.Node, id sut.NodeID) bool { return n.ID == id }
	if slices.EqualFunc(before, members, same) {
		return
	}
	in.counts.Nodes = in.named(members)
	for _, w := range in.workers {
		at := slices.IndexFunc(in.counts.Nodes, func(n sut.Node) bool {
			return n.ID == before[w.at].ID
		})
		if at < 0 || !w.roams {
			at = w.home % len(in.counts.Nodes)
		}
		w.at = at
	}
	in.moved(in.counts.Nodes)
}

// healing mends everything, and writes down meanwhile what is observed.
func (in *interpreter) healing(mend func() history.Op) (history.Op, error) {
	mended := make(chan history.Op, 1)
	go func() { mended <- mend() }()
	var failed error
	for {
		select {
		case op := <-in.observed:
			failed = errors.Join(failed, in.record(op))
		case op := <-mended:
			return op, failed
		}
	}
}

func (in *interpreter) record(op history.Op) error {
	if err := in.rec.Append(op); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	return nil
}

// phase notes that the run enters another phase.
func (in *interpreter) phase(name string) error {
	in.counts.Phase = name
	return in.observe("phase", "", name)
}

// observe writes down something that the harness itself saw or did.
func (in *interpreter) observe(f, node string, value any) error {
	return in.record(observation(in.now(), f, node, value))
}

func observation(at time.Duration, f, node string, value any) history.Op {
	raw, err := json.Marshal(value)
	if err != nil {
		panic("harness: an observation that is no JSON: " + err.Error())
	}
	return history.Op{
		Process: history.Observer, Type: history.Info, F: f, Node: node, Value: raw, Time: at,
	}
}
