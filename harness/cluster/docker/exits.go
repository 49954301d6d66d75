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
	messages, failed := w.subscribe(ctx, "")
	w.ended.Go(func() { w.run(ctx, messages, failed) })
	return nil
}

func (w *exitWatch) subscribe(ctx context.Context, since string,
) (<-chan events.Message, <-chan error) {
	args := ofRun(w.c.spec.Run)
	args.Add("label", LabelRole+"=node")
	for _, a := range []events.Action{events.ActionDie, events.ActionOOM} {
		args.Add("event", string(a))
	}
	args.Add("type", string(events.ContainerEventType))
	return w.c.engine.cli.Events(ctx, events.ListOptions{Filters: args, Since: since})
}

// run reads events until ctx ends. A stream that breaks is taken up again where it broke.
func (w *exitWatch) run(ctx context.Context, messages <-chan events.Message, failed <-chan error) {
	var last, seen time.Time // of the last event, and of that before the stream broke
	for {
		select {
		case m := <-messages:
			last = time.Unix(0, m.TimeNano)
			if last.After(seen) {
				w.handle(ctx, m, last)
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
			seen = last
			since := "1" // second of 1970; the run is younger
			if !seen.IsZero() {
				since = stamp(seen)
			}
			messages, failed = w.subscribe(ctx, since)
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
	x.Asked = p.wasKilled() && x.Code == killedCode || p.disk.excuses(at)
	if x.Code == killedCode && !x.Asked && !x.OOM {
		x.OOM = p.wasOOM(ctx)
	}
	w.report(x)
}

// wasKilled says whether an exit is that of one of our kills, each of which has one. It waits for a
// kill under way, so that its outcome is known. The node may run again by now.
func (p *pod) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kills == 0 {
		return false
	}
	p.kills--
	return true
}

// wasOOM asks the engine; it is right only as long as the container was not started again.
func (p *pod) wasOOM(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := p.c.engine.cli.ContainerInspect(ctx, p.containerID())
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
