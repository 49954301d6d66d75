package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Pod makes the namespaces that it finds itself in fit for a node, as the argument from the fabric
// says: a root of its own, a name, a /proc. The caller then becomes the agent. It must not have
// changed its working directory or opened a file that it still needs by name.
func Pod(arg string) error {
	var spec podSpec
	if err := json.Unmarshal([]byte(arg), &spec); err != nil {
		return fmt.Errorf("pod: %w", err)
	}
	if os.Getpid() != 1 {
		return errors.New("a pod is process 1 of namespaces of its own; raftcheck starts it")
	}
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("name the pod: %w", err)
	}
	if err := buildRoot(spec); err != nil {
		return fmt.Errorf("make the root of %s: %w", spec.Name, err)
	}
	return setSysctls()
}

// shared are the directories of the host that a node may read: what programs that are not static
// are made of.
func shared() []string {
	return []string{"/bin", "/etc", "/lib", "/lib32", "/lib64", "/nix", "/opt", "/sbin", "/usr"}
}

// devices are those that every program may expect, and those that agents use.
func devices() (all, agents []string) {
	return []string{"null", "zero", "full", "random", "urandom"}, []string{"net/tun", "fuse"}
}

// buildRoot makes a root of a tmpfs at spec.Root and moves into it.
func buildRoot(spec podSpec) error {
	root := spec.Root
	if err := unix.Mount("raftcheck", root, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	for _, dir := range shared() {
		if err := share(dir, root+dir); err != nil {
			return err
		}
	}
	if err := buildDevices(filepath.Join(root, "dev")); err != nil {
		return err
	}
	if err := buildOwn(spec); err != nil {
		return err
	}
	tmp := filepath.Join(root, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("raftcheck", tmp, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
		"mode=1777"); err != nil {
		return fmt.Errorf("mount /tmp: %w", err)
	}
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		return err
	}
	if err := mountProc(proc); err != nil {
		return err
	}
	return moveTo(root)
}

// buildOwn mounts what is the pod's own: its disk, the node's program, and the names of its peers.
func buildOwn(spec podSpec) error {
	disk := spec.Root + podDisk
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(spec.Disk, disk, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	if spec.Program != "" {
		if err := shareFile(spec.Program, spec.Root+podProgram); err != nil {
			return err
		}
		if err := readOnly(spec.Root + podProgram); err != nil {
			return err
		}
	}
	if !exists(spec.Root + "/etc/hosts") {
		return nil // a host without one has no place for it
	}
	hosts := spec.Root + podDir + "/hosts"
	if err := os.WriteFile(hosts, []byte(spec.Hosts), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(hosts, spec.Root+"/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount /etc/hosts: %w", err)
	}
	return nil
}

// share shows a directory of the host, read-only. One that is a link stays a link; one that is not
// there is left out.
func share(dir, at string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		to, err := os.Readlink(dir)
		if err != nil {
			return err
		}
		return os.Symlink(to, at)
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(dir, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return readOnly(at)
}

// readOnly makes a mount and those below it read-only.
func readOnly(at string) error {
	err := unix.MountSetattr(unix.AT_FDCWD, at, unix.AT_RECURSIVE,
		&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return fmt.Errorf("make %s read-only: %w", at, err)
	}
	return nil
}

func shareFile(file, at string) error {
	f, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	f.Close()
	if err := unix.Mount(file, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", file, err)
	}
	return nil
}

// buildDevices shows the host's devices one by one. What only agents need may be missing: the agent
// then says so itself.
func buildDevices(dev string) error {
	all, agents := devices()
	if err := os.MkdirAll(filepath.Join(dev, "net"), 0o755); err != nil {
		return err
	}
	for i, name := range append(all, agents...) {
		err := shareFile(filepath.Join("/dev", name), filepath.Join(dev, name))
		if err != nil && i < len(all) {
			return err
		}
		if err != nil {
			_ = os.Remove(filepath.Join(dev, name))
		}
	}
	shm := filepath.Join(dev, "shm")
	if err := os.Mkdir(shm, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("raftcheck", shm, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
		"mode=1777"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	return os.Symlink("/proc/self/fd", filepath.Join(dev, "fd"))
}

// mountProc shows the processes of this process namespace.
func mountProc(at string) error {
	err := unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	return nil
}

// moveTo makes root the root, and lets go of the former one.
func moveTo(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot to the root: %w", err)
	}
	// The former root now lies on top of the new one.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the former root: %w", err)
	}
	return os.Chdir("/")
}

// setSysctls sets those of the pod's network namespace. One that this kernel does not have is left
// out.
func setSysctls() error {
	for name, value := range map[string]string{
		// Answers may come back over another device than the request left by: the one that slows
		// links down.
		"net.ipv4.conf.all.rp_filter": "2",
		// Without it TCP tries again only after as long as the link was cut, up to two minutes.
		"net.ipv4.tcp_rto_max_ms": "1000",
		// A node has no privilege, and may still want a port below 1024.
		"net.ipv4.ip_unprivileged_port_start": "0",
		"net.ipv6.conf.all.disable_ipv6":      "1",
		"net.ipv6.conf.default.disable_ipv6":  "1",
	} {
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		err := os.WriteFile(path, []byte(value), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}
