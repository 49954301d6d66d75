package local

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// podNamespaces are those that a pod has for itself.
const podNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// self is this very program, even if its file was replaced meanwhile.
const self = "/proc/self/exe"

// startPod starts a pod and connects it to the bridge.
func (f *fabric) startPod(req request, files []*os.File) (*exec.Cmd, error) {
	spec, err := json.Marshal(req.Pod)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: self, Args: append(req.Argv, string(spec)), Env: req.Env,
		Stdin: files[0], Stdout: files[1], Stderr: files[2],
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: podNamespaces, Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	f.mu.Lock()
	f.pods[req.Name] = cmd.Process.Pid
	f.mu.Unlock()
	if err := connect(cmd.Process.Pid, req); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("connect %s to the bridge: %w", req.Name, err)
	}
	return cmd, nil
}

// startDriver starts the client driver in a network namespace of its own on the bridge.
func (f *fabric) startDriver(req request, files []*os.File) (*exec.Cmd, error) {
	path := self
	if req.Program != "" {
		path = req.Program
	}
	cmd := &exec.Cmd{
		Path: path, Args: req.Argv, Env: req.Env,
		Stdin: files[0], Stdout: files[1], Stderr: files[2],
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Setsid: true},
	}
	err := onOwnThread(func() error {
		if err := renounce(); err != nil {
			return err
		}
		return cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("start the client driver: %w", err)
	}
	if err := connect(cmd.Process.Pid, req); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("connect %s to the bridge: %w", req.Name, err)
	}
	return cmd, nil
}

// startNode starts a node in the namespaces of its pod. It is our child and not the agent's: so we
// learn how it ends, and the agent has none of its own.
func (f *fabric) startNode(req request, out *os.File) (*exec.Cmd, error) {
	f.mu.Lock()
	agent := f.pods[req.Name]
	f.mu.Unlock()
	if agent == 0 {
		return nil, fmt.Errorf("start node %s: it has no agent", req.Name)
	}
	cmd := &exec.Cmd{
		Path: req.Program, Args: req.Argv, Env: req.Env, Dir: "/", Stdout: out, Stderr: out,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err := onOwnThread(func() error {
		close, err := enterGroups(req, cmd.SysProcAttr)
		if err != nil {
			return err
		}
		defer close()
		if err := enterPod(agent); err != nil {
			return err
		}
		if err := mountData(req.DataDir); err != nil {
			return err
		}
		if err := renounce(); err != nil {
			return err
		}
		return cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("start node %s: %w", req.Name, err)
	}
	return cmd, nil
}

// onOwnThread calls do on a thread that is thrown away afterwards, whatever do has made of it.
func onOwnThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its goroutine
		done <- do()
	}()
	return <-done
}

// enterGroups puts this thread into control groups, from which the process that it starts
// inherits them (version 1), or has the process born in one (version 2).
func enterGroups(req request, attr *syscall.SysProcAttr) (closeAll func(), err error) {
	closeAll = func() {}
	for _, tasks := range req.Tasks {
		if err := os.WriteFile(tasks, []byte("0"), 0); err != nil {
			return closeAll, fmt.Errorf("enter a control group: %w", err)
		}
	}
	if req.Group != "" {
		fd, err := unix.Open(req.Group, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return closeAll, fmt.Errorf("open control group %s: %w", req.Group, err)
		}
		attr.UseCgroupFD, attr.CgroupFD = true, fd
		closeAll = func() { _ = unix.Close(fd) }
	}
	return closeAll, nil
}

// enterPod takes this thread into the namespaces of a pod. The mount namespace is a copy, so that
// what is mounted for one process is gone with it.
func enterPod(agent int) error {
	// A thread that shares its root with others can not enter a mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("have a root of our own: %w", err)
	}
	type namespace struct {
		name string
		kind int
	}
	for _, ns := range []namespace{
		{"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"net", unix.CLONE_NEWNET},
		{"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}, // the last: /proc is another then
	} {
		path := fmt.Sprintf("/proc/%d/ns/%s", agent, ns.name)
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		err = unix.Setns(fd, ns.kind)
		_ = unix.Close(fd)
		if err != nil {
			return fmt.Errorf("enter %s: %w", path, err)
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("have mounts of our own: %w", err)
	}
	return nil
}

// mountData shows the process that this thread starts its data, and hides the rest of the disk.
func mountData(dir string) error {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
		data := filepath.Join(podDisk, dataName)
		if err := unix.Mount(data, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount the data at %s: %w", dir, err)
		}
	}
	if err := unix.Unmount(podDisk, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", podDisk, err)
	}
	err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	if err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

// renounce takes every privilege from the program that this thread executes next, for good. The
// thread itself keeps what it has.
func renounce() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("renounce new privileges: %w", err)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err != nil && err != unix.EINVAL { // the kernel does not know all of ours
			return fmt.Errorf("renounce capability %d: %w", c, err)
		}
	}
	return nil
}
