package harness

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

const (
	// watchInterval is how often every node is asked how it stands.
	watchInterval = 200 * time.Millisecond
	// askLimit bounds each such question; a paused node does not answer.
	askLimit = 300 * time.Millisecond
)

// watcher asks the nodes how they stand, again and again, and notes what changed.
type watcher struct {
	clients Clients
	now     func() time.Duration
	out     chan history.Op

	mu    sync.Mutex // guards the fields below
	nodes []sut.Node // the members
	last  map[sut.NodeID]sut.Status
}

func newWatcher(clients Clients, nodes []sut.Node, now func() time.Duration) *watcher {
	return &watcher{
		clients: clients, nodes: nodes, now: now,
		out:  make(chan history.Op, 256),
		last: map[sut.NodeID]sut.Status{},
	}
}

// run watches until ctx is done. Exits of nodes are noted too.
func (w *watcher) run(ctx context.Context, exits <-chan cluster.Exit, began time.Time) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-exits:
			if !ok {
				exits = nil
				continue
			}
			w.send(ctx, observation(e.At.Sub(began), "exit", string(e.Node), exitValue(e)))
		case <-ticker.C:
			for id, st := range w.ask(ctx) {
				if w.changed(id, st) {
					w.send(ctx, observation(w.now(), "status", string(id), st))
				}
			}
		}
	}
}

// members lists whom the watcher asks.
func (w *watcher) members() []sut.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes
}

// follow lets the watcher ask other nodes from now on.
func (w *watcher) follow(nodes []sut.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = nodes
	for id := range w.last {
		if !slices.ContainsFunc(nodes, func(n sut.Node) bool { return n.ID == id }) {
			delete(w.last, id)
		}
	}
}

// exitValue is how an exit stands in the history.
func exitValue(e cluster.Exit) any {
	return struct {
		Code  int  `json:"code"`
		Asked bool `json:"asked"`
		OOM   bool `json:"oom"`
	}{e.Code, e.Asked, e.OOM}
}

func (w *watcher) send(ctx context.Context, op history.Op) {
	select {
	case w.out <- op:
	case <-ctx.Done():
	}
}

// changed remembers st and says whether it differs in what is worth noting: the commit index
// changes all the time.
func (w *watcher) changed(id sut.NodeID, st sut.Status) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, known := w.last[id]
	w.last[id] = st
	return !known || old.Term != st.Term || old.Role != st.Role || old.Leader != st.Leader
}

// ask asks all nodes at once. Those that do not answer in time are missing in what it returns.
func (w *watcher) ask(ctx context.Context) map[sut.NodeID]sut.Status {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var (
		mu  sync.Mutex
		wg  sync.WaitGroup
		all = map[sut.NodeID]sut.Status{}
	)
	for _, n := range w.members() {
		wg.Go(func() {
			st, err := w.clients.Status(ctx, n.ID)
			if err != nil {
				return
			}
			mu.Lock()
			all[n.ID] = st
			mu.Unlock()
		})
	}
	wg.Wait()
	return all
}

// seen is the newest leader among what was heard last, without asking.
func (w *watcher) seen() (sut.NodeID, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var id sut.NodeID
	var term uint64
	for n, st := range w.last {
		if st.Role == "leader" && (id == "" || st.Term > term) {
			id, term = n, st.Term
		}
	}
	return id, term
}

// settled says whether every node serves and they agree on who leads, if they tell; quiescent,
// whether they have also applied the same, all that is committed.
func settled(
	all map[sut.NodeID]sut.Status, n int, leaderless bool,
) (agree, quiescent bool) {
	if len(all) < n {
		return false, false
	}
	var first *sut.Status
	agree, quiescent = true, true
	for _, st := range all {
		if first == nil {
			first = &st
		}
		agree = agree && st.Leader == first.Leader && st.Term == first.Term &&
			(st.Leader != "" || leaderless)
		quiescent = quiescent && st.Applied == first.Applied && st.Applied == st.Commit
	}
	return agree, agree && quiescent
}

// await asks again and again until done says so. It returns the last answers, and false when ctx
// was done first.
func (w *watcher) await(
	ctx context.Context, done func(map[sut.NodeID]sut.Status) bool,
) (map[sut.NodeID]sut.Status, bool) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		all := w.ask(ctx)
		if done(all) {
			return all, true
		}
		select {
		case <-ctx.Done():
			return all, false
		case <-ticker.C:
		}
	}
}
