package local

import (
	"context"
	"fmt"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

// Freeze implements [cluster.Freezer], by the freezer of the node's control group. The agent is in
// another.
func (p *pod) Freeze(ctx context.Context) error {
	p.process.Lock()
	defer p.process.Unlock()
	if err := p.freeze(ctx, true); err != nil {
		return fmt.Errorf("freeze %s: %w", p.node.ID, err)
	}
	return nil
}

// Thaw implements [cluster.Freezer].
func (p *pod) Thaw(ctx context.Context) error {
	p.process.Lock()
	defer p.process.Unlock()
	if err := p.freeze(ctx, false); err != nil {
		return fmt.Errorf("thaw %s: %w", p.node.ID, err)
	}
	return nil
}

// freeze freezes or thaws. One whose process is gone has nothing to freeze.
func (p *pod) freeze(ctx context.Context, freeze bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if freeze && !p.lives() {
		return nil
	}
	err := p.group.freeze(ctx, freeze)
	lives := p.lives()
	if err == nil && freeze && !lives { // it ended meanwhile; the next one must not be born frozen
		err = p.group.freeze(ctx, false)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.frozen = freeze && lives
	}
	return err
}

// lives says whether the process that was started last is still there.
func (p *pod) lives() bool {
	p.mu.Lock()
	proc := p.proc
	p.mu.Unlock()
	if proc == nil {
		return false
	}
	select {
	case <-proc.ended:
		return false
	default:
		return true
	}
}

func (p *pod) isFrozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen
}

// SkewClocks implements [cluster.ClockSkewer].
func (p *pod) SkewClocks(ctx context.Context, wall, monotonic *cluster.Skew) error {
	if p.isFrozen() && (wall != nil || monotonic != nil) {
		return fmt.Errorf("skew clocks of %s: it is frozen", p.node.ID)
	}
	return p.Hand.SkewClocks(ctx, wall, monotonic)
}

// Limit implements [cluster.Limiter], by the node's control group.
func (p *pod) Limit(_ context.Context, l cluster.Limits) error {
	p.process.Lock()
	defer p.process.Unlock()
	if err := p.group.limit(l); err != nil {
		return fmt.Errorf("limit %s to %+v: %w", p.node.ID, l, err)
	}
	return nil
}
