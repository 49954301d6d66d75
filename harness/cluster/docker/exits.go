package docker

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// exitBuffer is how many exits wait for a reader; more than a run has.
const exitBuffer = 4096

// killedCode is the exit code of a process that SIGKILL ended.
const killedCode = 128 + 9

// exitWatch turns the engine's events into exits.
type exitWatch struct {
	c      *dockerCluster
	out    chan cluster.Exit
	cancel context.CancelFunc
	ended  sync.WaitGroup
	once   sync.Once

	oom map[sut.NodeID]bool // the kernel ended it for want of memory; owned by run
}

func newExitWatch(c *dockerCluster) *exitWatch {
	return &exitWatch{c: c, out: make(chan cluster.Exit, exitBuffer), cancel: func() {},
		oom: map[sut.NodeID]bool{}}
}

// start subscribes; events from then on are seen.
func (w *exitWatch) start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	messages, failed := w.subscribe(ctx, time.Now())
	w.ended.Go(func() { w.run(ctx, messages, failed) })
	return nil
}

func (w *exitWatch) subscribe(ctx context.Context, since time.Time,
) (<-chan events.Message, <-chan error) {
	args := ofRun(w.c.spec.Run)
	args.Add("label", LabelRole+"=node")
	for _, a := range []events.Action{events.ActionDie, events.ActionOOM} {
		args.Add("event", string(a))
	}
	args.Add("type", string(events.ContainerEventType))
	return w.c.engine.cli.Events(ctx, events.ListOptions{Filters: args, Since: stamp(since)})
}

// run reads events until ctx ends. A stream that breaks is taken up again where it broke.
func (w *exitWatch) run(ctx context.Context, messages <-chan events.Message, failed <-chan error) {
	last := time.Now()
	for {
		select {
		case m := <-messages:
			at := time.Unix(0, m.TimeNano)
			if at.After(last) { // else it was seen before the stream broke
				last = at
				w.handle(ctx, m, at)
			}
		case err := <-failed:
			if ctx.Err() != nil {
				return
			}
			w.c.log.Warn("the engine's events broke off; reading on", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			messages, failed = w.subscribe(ctx, last)
		}
	}
}

func (w *exitWatch) handle(ctx context.Context, m events.Message, at time.Time) {
	id := sut.NodeID(m.Actor.Attributes[LabelNode])
	p, ok := w.c.pods[id]
	if !ok {
		return
	}
	if m.Action == events.ActionOOM {
		w.oom[id] = true
		return
	}
	x := cluster.Exit{Node: id, At: at, Code: -1, OOM: w.oom[id]}
	w.oom[id] = false
	if code, err := strconv.Atoi(m.Actor.Attributes["exitCode"]); err == nil {
		x.Code = code
	}
	p.mu.Lock() // waits for a kill under way, so that its outcome is known
	x.Asked = p.killed && x.Code == killedCode
	p.mu.Unlock()
	if x.Code == killedCode && !x.Asked && !x.OOM {
		x.OOM = p.wasOOM(ctx)
	}
	w.report(x)
}

// wasOOM asks the engine; it is right only as long as the container was not started again.
func (p *pod) wasOOM(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := p.c.engine.cli.ContainerInspect(ctx, p.container.GetContainerID())
	return err == nil && !info.State.Running && info.State.OOMKilled
}

// report hands an exit on; when nobody reads, the oldest makes room.
func (w *exitWatch) report(x cluster.Exit) {
	for {
		select {
		case w.out <- x:
			return
		default:
		}
		select {
		case <-w.out:
		default:
		}
	}
}

// stop ends the watch and closes the channel: what ends from here on was asked for. It is
// idempotent.
func (w *exitWatch) stop() {
	w.once.Do(func() {
		w.cancel()
		w.ended.Wait()
		close(w.out)
	})
}
