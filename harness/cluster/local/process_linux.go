package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/harness/cluster/beside"
)

// fabricNamespaces are those that a run has for itself.
const fabricNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// attributes put a process into fresh namespaces. Who is not root makes a user namespace for them,
// in which it is. The process is killed when the thread that started it ends.
func attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: fabricNamespaces, Setsid: true,
		Pdeathsig: syscall.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// remote is the harness's end of a fabric.
type remote struct {
	cmd   *exec.Cmd
	conn  *net.UnixConn
	errs  *tail
	ended chan struct{} // closed when the process was buried, and with it all of its namespace

	mu      sync.Mutex // guards the fields below
	next    uint64
	waiting map[uint64]chan event
	onEnd   map[uint64]func(event) // by the request that started what ends
	gone    bool                   // no more events come
	read    chan struct{}          // closed when gone
}

// errGone is about a fabric that has ended.
var errGone = errors.New("the fabric, process 1 of the run, is gone")

// launch starts a fabric and waits until it stands.
func launch(ctx context.Context, argv, env []string) (*remote, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	defer theirs.Close()
	conn, err := controlSocket(uintptr(fds[0]))
	if err != nil {
		return nil, err
	}
	r := &remote{conn: conn, errs: &tail{}, ended: make(chan struct{}), read: make(chan struct{}),
		waiting: map[uint64]chan event{}, onEnd: map[uint64]func(event){}, next: hello}
	r.cmd = &exec.Cmd{Path: self, Args: argv, Env: env, Stderr: r.errs,
		ExtraFiles: []*os.File{theirs}, SysProcAttr: attributes()}
	stands := make(chan event, 1)
	r.waiting[hello] = stands
	if err := r.start(); err != nil {
		conn.Close()
		return nil, err
	}
	go r.listen()
	if err := r.answer(ctx, hello, stands); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// start starts the process on a thread that lives as long as it does: the kernel kills the process
// when that thread ends, and that shall be when we do.
func (r *remote) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			_ = r.cmd.Wait() // it was killed
			close(r.ended)
		}
	}()
	return <-started
}

// end kills the fabric, and everything with it, and returns when all of it is gone.
func (r *remote) end() {
	_ = r.cmd.Process.Kill() // an error means that it is gone
	<-r.ended
	r.conn.Close()
	<-r.read
}

// listen hands events to whom they concern.
func (r *remote) listen() {
	defer close(r.read)
	buf := make([]byte, maxPacket)
	for {
		n, err := r.conn.Read(buf)
		var ev event
		if err == nil && n > 0 {
			err = json.Unmarshal(buf[:n], &ev)
		}
		r.mu.Lock()
		if err != nil || n == 0 {
			r.gone = true
			for id, ch := range r.waiting {
				close(ch)
				delete(r.waiting, id)
			}
			r.mu.Unlock()
			return
		}
		var told func(event)
		if ev.ID != 0 {
			if ch := r.waiting[ev.ID]; ch != nil {
				ch <- ev
			}
			delete(r.waiting, ev.ID)
		} else {
			told = r.onEnd[ev.Started]
			delete(r.onEnd, ev.Started)
		}
		r.mu.Unlock()
		if told != nil {
			told(ev)
		}
	}
}

// ask has the fabric start something. Its streams stay the caller's to close. When it ends, onEnd
// is told, unless the fabric itself has ended; it must not ask in turn.
func (r *remote) ask(ctx context.Context, req request, onEnd func(event), streams ...*os.File,
) error {
	ch := make(chan event, 1)
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return errGone
	}
	r.next++
	req.ID = r.next
	r.waiting[req.ID], r.onEnd[req.ID] = ch, onEnd
	r.mu.Unlock()
	packet, err := json.Marshal(req)
	if err != nil {
		return err
	}
	var fds []int
	for _, s := range streams {
		fds = append(fds, int(s.Fd()))
	}
	_, _, err = r.conn.WriteMsgUnix(packet, unix.UnixRights(fds...), nil)
	runtime.KeepAlive(streams)
	if err != nil {
		return fmt.Errorf("ask the fabric: %w", err)
	}
	return r.answer(ctx, req.ID, ch)
}

// startLimit bounds how long the fabric may take to start something.
const startLimit = 20 * time.Second

func (r *remote) answer(ctx context.Context, id uint64, ch <-chan event) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case ev, ok := <-ch:
		if !ok {
			return beside.WithLastWords(errGone, r.errs.String())
		}
		if ev.Error != "" {
			return errors.New(ev.Error)
		}
		return nil
	case <-ctx.Done():
		r.mu.Lock()
		delete(r.waiting, id)
		r.mu.Unlock()
		return context.Cause(ctx)
	}
}
