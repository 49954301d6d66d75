package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// The node's volume is mounted twice: in its own container at its data directory, and in the
// agent's. When the node starts, what runs first is the gate, which lies in the volume. The agent
// mounts a file system that can be broken over the volume, in the node's mount namespace, and lets
// the gate become the node's program. So there is no mount anywhere but in that namespace, and none
// is left when its last process is gone.

// backingDir is where the agent sees the node's volume.
const backingDir = "/disk"

var _ cluster.DiskBreaker = (*pod)(nil)

// disk is what the pod knows of its node's disk.
type disk struct {
	target string // the node's data directory

	mu     sync.Mutex // guards what follows
	broken bool
	healed time.Time // when it was broken last
}

// graceOfDisk is how long after the disk was healed a node may still end because of it.
const graceOfDisk = 2 * time.Second

// excuses says whether a node that ended at that time may have done so because of its disk.
func (d *disk) excuses(at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken || at.Before(d.healed.Add(graceOfDisk))
}

func (d *disk) setBroken(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken && !broken {
		d.healed = time.Now()
	}
	d.broken = broken
}

// diskRights give an agent what it takes to mount file systems for its node.
func (e *Engine) diskRights(h *container.HostConfig) {
	h.CapAdd = append(h.CapAdd, "SYS_ADMIN", "SYS_CHROOT", "DAC_OVERRIDE", "CHOWN", "FOWNER")
	h.SecurityOpt = append(h.SecurityOpt, "apparmor=unconfined") // the default denies mounts
	if _, err := os.Stat(fusePath); err == nil || !e.isLocal() {
		h.Devices = append(h.Devices, container.DeviceMapping{PathOnHost: fusePath,
			PathInContainer: fusePath, CgroupPermissions: "rwm"})
	}
}

// fusePath is the device that disks are made of.
const fusePath = "/dev/fuse"

// createVolume makes the node's volume, if there is none.
func (p *pod) createVolume(ctx context.Context) error {
	_, err := p.c.engine.cli.VolumeCreate(ctx, volume.CreateOptions{
		Name: p.name(""), Labels: p.labels("volume")})
	if err != nil {
		return fmt.Errorf("create volume: %w", err)
	}
	return nil
}

// gated is cmd behind the gate, if the disk is to be one that can be broken.
func (p *pod) gated(ctx context.Context, cmd sut.Command) (sut.Command, error) {
	p.disk.target = cmd.DataDir
	if !p.hasDisk() {
		return cmd, nil
	}
	if len(cmd.Entrypoint) == 0 {
		info, err := p.c.engine.cli.ImageInspect(ctx, p.c.spec.Image)
		if err != nil {
			return cmd, fmt.Errorf("ask what %s starts: %w", p.c.spec.Image, err)
		}
		if info.Config != nil {
			cmd.Entrypoint = info.Config.Entrypoint
			if len(cmd.Args) == 0 {
				cmd.Args = info.Config.Cmd
			}
		}
	}
	cmd.Args = append(append([]string{"gate"}, cmd.Entrypoint...), cmd.Args...)
	cmd.Entrypoint = []string{path.Join(cmd.DataDir, wire.GateFile)}
	return cmd, nil
}

func (p *pod) hasDisk() bool { return p.c.spec.Disk && p.disk.target != "" }

// openDisk makes a disk of the volume, emptied before if wipe is set.
func (p *pod) openDisk(ctx context.Context, wipe bool) error {
	if !p.hasDisk() {
		return nil
	}
	err := p.agent.DiskOpen(ctx, wire.DiskArgs{Backing: backingDir, Wipe: wipe})
	if err != nil {
		return fmt.Errorf("make its disk one that can be broken: %w", p.Explain(err))
	}
	return nil
}

// mountDisk has the agent wait for the node at the gate. What it returns waits for the agent,
// unless the node was not started.
func (p *pod) mountDisk(ctx context.Context) func(started bool) error {
	if !p.hasDisk() {
		return func(bool) error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	mounted := make(chan error, 1)
	go func() { mounted <- p.agent.DiskMount(ctx, wire.DiskArgs{Target: p.disk.target}) }()
	return func(started bool) error {
		if !started {
			cancel()
		}
		err := <-mounted
		cancel()
		if !started || err == nil {
			return nil
		}
		return fmt.Errorf("mount its disk: %w", p.Explain(err))
	}
}

// errPlainDisk is about a node that was started without a disk that can be broken.
var errPlainDisk = errors.New("its disk can not be broken: the cluster was not brought up for it")

func (p *pod) needDisk() error {
	if !p.hasDisk() {
		return cluster.Unable{Err: errPlainDisk}
	}
	return nil
}

// BreakDisk implements [cluster.DiskBreaker].
func (p *pod) BreakDisk(ctx context.Context, ills cluster.DiskIlls) (cluster.DiskCounts, error) {
	if err := p.needDisk(); err != nil {
		return cluster.DiskCounts{}, err
	}
	// A disk that is only slow is no excuse.
	hard := ills
	hard.SyncDelay = 0
	if hard != (cluster.DiskIlls{}) {
		p.disk.setBroken(true)
	}
	res, err := p.agent.DiskSet(ctx, wire.DiskIlls(ills))
	if err != nil {
		return cluster.DiskCounts{}, fmt.Errorf("break the disk of %s: %w", p.node.ID, p.Explain(err))
	}
	if hard == (cluster.DiskIlls{}) {
		p.disk.setBroken(false)
	}
	return countsOf(res), nil
}

func countsOf(r wire.DiskResult) cluster.DiskCounts {
	return cluster.DiskCounts{Writes: r.Writes, Syncs: r.Syncs, Errors: r.Errors, Delayed: r.Delayed}
}

// DiskCounts implements [cluster.DiskBreaker].
func (p *pod) DiskCounts(ctx context.Context) (cluster.DiskCounts, error) {
	if err := p.needDisk(); err != nil {
		return cluster.DiskCounts{}, err
	}
	res, err := p.agent.Disk(ctx)
	if err != nil {
		return cluster.DiskCounts{}, fmt.Errorf("look at the disk of %s: %w", p.node.ID,
			p.Explain(err))
	}
	return countsOf(res), nil
}

// FailPower implements [cluster.DiskBreaker].
func (p *pod) FailPower(ctx context.Context, how cluster.PowerFailure) (cluster.PowerLost, error) {
	p.process.Lock()
	defer p.process.Unlock()
	res, err := p.failPower(ctx, how)
	if err != nil {
		return cluster.PowerLost{}, fmt.Errorf("cut the power of %s: %w", p.node.ID, p.Explain(err))
	}
	return cluster.PowerLost{Bytes: res.Bytes, Files: res.Files, Entries: res.Entries,
		Torn: res.Torn, Took: res.Took}, p.settled(ctx)
}

// failPower holds mu, so that whoever hears of the exit first learns who did it.
func (p *pod) failPower(ctx context.Context, how cluster.PowerFailure) (wire.CrashResult, error) {
	if err := p.needDisk(); err != nil {
		return wire.CrashResult{}, err
	}
	if p.isFrozen() { // what is frozen can not die
		if err := p.setFrozen(ctx, false); err != nil {
			return wire.CrashResult{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	res, err := p.agent.DiskCrash(ctx, wire.CrashArgs(how))
	if res.Killed > 0 || err != nil {
		p.kills++
	}
	return res, err
}

// DamageDisk implements [cluster.DiskBreaker].
func (p *pod) DamageDisk(ctx context.Context, kind string, seed uint64) (cluster.Damage, error) {
	p.process.Lock()
	defer p.process.Unlock()
	if err := p.needDisk(); err != nil {
		return cluster.Damage{}, err
	}
	p.disk.setBroken(true)
	res, err := p.agent.DiskDamage(ctx, wire.DamageArgs{Kind: kind, Seed: seed})
	if err != nil {
		p.disk.setBroken(false)
		return cluster.Damage{}, fmt.Errorf("damage the disk of %s: %w", p.node.ID, p.Explain(err))
	}
	return cluster.Damage(res), nil
}

// RestoreDisk implements [cluster.DiskBreaker].
func (p *pod) RestoreDisk(ctx context.Context) error {
	p.process.Lock()
	defer p.process.Unlock()
	if err := p.needDisk(); err != nil {
		return err
	}
	if _, err := p.agent.DiskRestore(ctx); err != nil {
		return fmt.Errorf("restore the disk of %s: %w", p.node.ID, p.Explain(err))
	}
	p.disk.setBroken(false)
	return nil
}
