package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/crashfs"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// disks breaks the node's disk. The node sees its data directory through a [crashfs.Disk], which
// lives here and outlives the node; each start of the node has a mount of its own.
type disks struct {
	processes *processes

	mounting sync.Mutex // one mount at a time

	mu   sync.Mutex // guards disk and gate
	disk *crashfs.Disk
	gate *net.UnixListener
}

func (d *disks) handlers() map[string]handler {
	return map[string]handler{
		wire.OpDiskOpen: d.open, wire.OpDiskMount: d.mount, wire.OpDiskSet: d.set,
		wire.OpDisk: d.look, wire.OpDiskCrash: d.crash, wire.OpDiskDamage: d.damage,
		wire.OpDiskRestore: d.restore,
	}
}

func (d *disks) probe() wire.Ability {
	a := wire.Ability{Name: "break disks",
		Needs: crashfs.Device + ", fsopen and move_mount (Linux 5.2), CAP_SYS_ADMIN"}
	m, err := crashfs.At("/").Mount()
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		a.Missing = err.Error()
	}
	return a
}

// close heals: mounts go with the node's mount namespace.
func (d *disks) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.disk == nil {
		return nil
	}
	d.disk.Set(crashfs.Ills{})
	return d.gate.Close()
}

func (d *disks) opened() (*crashfs.Disk, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.disk == nil {
		return nil, wire.Errorf(wire.Unable, "the node's disk is not one that can be broken")
	}
	return d.disk, nil
}

// open makes the disk, and copies this program beside it, to be the gate.
func (d *disks) open(_ context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.DiskArgs](raw)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if args.Wipe {
		if err := wipe(args.Backing); err != nil {
			return nil, fmt.Errorf("empty %s: %w", args.Backing, err)
		}
	}
	if err := d.listen(); err != nil {
		return nil, fmt.Errorf("open the gate: %w", err)
	}
	disk, err := crashfs.Open(args.Backing)
	if err != nil {
		return nil, fmt.Errorf("make a disk of %s: %w", args.Backing, err)
	}
	if err := copySelf(filepath.Join(args.Backing, wire.GateFile)); err != nil {
		return nil, fmt.Errorf("put the gate into %s: %w", args.Backing, err)
	}
	d.disk = disk
	return struct{}{}, nil
}

// listen opens the gate, for good: a node that comes early waits. The caller has mu.
func (d *disks) listen() (err error) {
	if d.gate == nil {
		d.gate, err = net.ListenUnix("unix", &net.UnixAddr{Name: wire.GateSocket, Net: "unix"})
	}
	return err
}

func wipe(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func copySelf(path string) (err error) {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close(), os.Chmod(path, 0o755))
}

func (d *disks) mount(ctx context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.DiskArgs](raw)
	if err != nil {
		return nil, err
	}
	disk, err := d.opened()
	if err != nil {
		return nil, err
	}
	d.mounting.Lock()
	defer d.mounting.Unlock()
	m, err := disk.Mount()
	if err != nil {
		return nil, wire.Errorf(wire.Unable, "mount the disk: %v", err)
	}
	defer m.Close()
	return struct{}{}, d.atGate(ctx, func(pid int) error { return m.Attach(pid, args.Target) })
}

// gateLimit bounds the wait for a node that starts.
const gateLimit = 20 * time.Second

// atGate waits for the node at the gate, and lets it go on after do.
func (d *disks) atGate(ctx context.Context, do func(pid int) error) error {
	ctx, cancel := context.WithTimeout(ctx, gateLimit)
	defer cancel()
	if err := d.gate.SetDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = d.gate.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		conn, err := d.gate.AcceptUnix()
		if err != nil {
			return fmt.Errorf("wait for the node at the gate: %w", err)
		}
		pid, err := letIn(conn, do)
		if err == nil || unix.Kill(pid, 0) == nil {
			return err
		} // it is gone: somebody killed it while it waited
	}
}

// letIn lets the process at the other end go on after do.
func letIn(conn *net.UnixConn, do func(pid int) error) (pid int, err error) {
	defer conn.Close()
	sys, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	err = sys.Control(func(fd uintptr) {
		peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, asked); err != nil {
		return 0, fmt.Errorf("ask who is at the gate: %w", err)
	}
	pid = int(peer.Pid)
	if err := do(pid); err != nil {
		return pid, err
	}
	_, err = conn.Write([]byte("go\n"))
	return pid, err
}

func result(disk *crashfs.Disk) wire.DiskResult {
	c := disk.Counts()
	return wire.DiskResult{Ills: wire.DiskIlls(disk.Ills()), Writes: c.Writes, Syncs: c.Syncs,
		Errors: c.Errors, Delayed: c.Delayed}
}

func (d *disks) set(_ context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.DiskIlls](raw)
	if err != nil {
		return nil, err
	}
	disk, err := d.opened()
	if err != nil {
		return nil, err
	}
	disk.Set(crashfs.Ills(args))
	return result(disk), nil
}

func (d *disks) look(context.Context, json.RawMessage) (any, error) {
	disk, err := d.opened()
	if err != nil {
		return nil, err
	}
	return result(disk), nil
}

// crash cuts the power, kills the node while its calls wait, and then undoes what was not synced.
func (d *disks) crash(ctx context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.CrashArgs](raw)
	if err != nil {
		return nil, err
	}
	disk, err := d.opened()
	if err != nil {
		return nil, err
	}
	var tear func(int) int
	if args.Torn {
		rng := rand.New(rand.NewPCG(args.Seed, 1))
		tear = func(size int) int { return tornAt(size, rng) }
	}
	if err := disk.Fail(ctx, args.Patience, tear); err != nil {
		return nil, err
	}
	begin := time.Now()
	d.processes.mu.Lock()
	defer d.processes.mu.Unlock()
	killed := map[processKey]bool{}
	_, err = d.processes.send(unix.SIGKILL, killed)
	disk.Release() // whoever waits is as good as dead, and can not be gone before it is answered
	if err == nil {
		_, err = d.processes.kill(ctx)
	}
	lost, undone := disk.Recover()
	return wire.CrashResult{Bytes: lost.Bytes, Files: lost.Files, Entries: lost.Entries,
		Torn: lost.Torn, Killed: len(killed), Took: time.Since(begin)}, errors.Join(err, undone)
}

// sector is what a disk writes at once.
const sector = 512

// tornAt is how much of a write is left: some sectors, or some bytes of the only one.
func tornAt(size int, rng *rand.Rand) int {
	if n := (size - 1) / sector; n > 0 {
		return sector * (1 + rng.IntN(n))
	}
	return 1 + rng.IntN(size-1)
}

// gone fails unless the node is.
func (d *disks) gone() error {
	n, err := d.processes.look()
	if err == nil && n.State != wire.Gone {
		err = wire.Errorf(wire.Refused, "the node is %s; its files can be damaged only when it is gone",
			n.State)
	}
	return err
}

func (d *disks) damage(_ context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.DamageArgs](raw)
	if err != nil {
		return nil, err
	}
	disk, err := d.opened()
	if err == nil {
		err = d.gone()
	}
	if err != nil {
		return nil, err
	}
	if args.Kind != crashfs.Flip && args.Kind != crashfs.Truncate {
		return nil, wire.Errorf(wire.Refused, "unknown kind of damage %q", args.Kind)
	}
	done, err := disk.Damage(args.Kind, args.Seed)
	return wire.DamageResult(done), err
}

func (d *disks) restore(context.Context, json.RawMessage) (any, error) {
	disk, err := d.opened()
	if err == nil {
		err = d.gone()
	}
	if err != nil {
		return nil, err
	}
	return result(disk), disk.Restore()
}
