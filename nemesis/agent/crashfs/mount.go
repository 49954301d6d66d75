//go:build linux

package crashfs

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Device is what FUSE is made of.
const Device = "/dev/fuse"

// Detached is a mount that is nowhere yet. It is served from the start, until it is closed and has
// left every namespace.
type Detached struct {
	fd   int
	once sync.Once
}

// Mount makes a mount of the disk. Nothing is seen of it before [Detached.Attach], so that nothing
// is left of it if that never happens.
func (d *Disk) Mount() (*Detached, error) {
	top, err := d.newRoot()
	if err != nil {
		return nil, err
	}
	dev, err := unix.Open(Device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", Device, err)
	}
	fd, err := detached(dev)
	if err != nil {
		_ = unix.Close(dev)
		return nil, err
	}
	raw := fs.NewNodeFS(top, &fs.Options{NullPermissions: true})
	server, err := fuse.NewServer(raw, "/dev/fd/"+strconv.Itoa(dev),
		&fuse.MountOptions{MaxWrite: 128 << 10, DisableXAttrs: true})
	if err != nil {
		_, _ = unix.Close(fd), unix.Close(dev)
		return nil, err
	}
	go server.Serve() // ends when the last namespace lets go of the mount
	return &Detached{fd: fd}, nil
}

// detached has the kernel make a mount that is attached nowhere.
func detached(dev int) (int, error) {
	ctx, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	defer func() { _ = unix.Close(ctx) }()
	for _, o := range [][2]string{{"source", "raftcheck"}, {"fd", strconv.Itoa(dev)},
		{"rootmode", "40000"}, {"user_id", "0"}, {"group_id", "0"}} {
		if err := unix.FsconfigSetString(ctx, o[0], o[1]); err != nil {
			return -1, fmt.Errorf("fsconfig %s: %w", o[0], err)
		}
	}
	for _, o := range []string{"allow_other", "default_permissions"} {
		if err := unix.FsconfigSetFlag(ctx, o); err != nil {
			return -1, fmt.Errorf("fsconfig %s: %w", o, err)
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return -1, fmt.Errorf("fsconfig: %w", err)
	}
	fd, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, fmt.Errorf("fsmount: %w", err)
	}
	return fd, nil
}

// Attach puts the mount at path in the mount namespace of process pid.
func (m *Detached) Attach(pid int, path string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never let go: the thread is of no more use to anybody
		done <- m.attach(pid, path)
	}()
	return <-done
}

func (m *Detached) attach(pid int, path string) error {
	ns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open its mount namespace: %w", err)
	}
	defer func() { _ = unix.Close(ns) }()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter its mount namespace: %w", err)
	}
	if err := unix.MoveMount(m.fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move the mount to %s: %w", path, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Type != unix.FUSE_SUPER_MAGIC {
		return fmt.Errorf("there is no FUSE at %s, but type %#x", path, st.Type)
	}
	return nil
}

// Close lets go of the mount. Attached, it stays as long as the namespace it is in.
func (m *Detached) Close() error {
	var err error
	m.once.Do(func() { err = unix.Close(m.fd) })
	return err
}
