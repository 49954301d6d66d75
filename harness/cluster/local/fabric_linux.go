package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// controlFD is where a fabric finds its control socket.
const controlFD = 3

// Fabric is the life of process 1 of a run: it holds the namespaces together, starts what the
// harness asks for, and tells when it ends. It returns when the harness is gone; everything that
// it has started ends with it.
func Fabric(log *slog.Logger) error {
	conn, err := controlSocket(controlFD)
	if err != nil {
		return fmt.Errorf("the fabric's control socket: %w", err)
	}
	f := &fabric{conn: conn, pods: map[string]int{}, log: log}
	if err := f.settle(); err != nil {
		_ = f.say(event{ID: hello, Error: err.Error()})
		return err
	}
	if err := f.say(event{ID: hello}); err != nil {
		return err
	}
	return f.serve()
}

// hello is the ID of what a fabric says first: that it stands, or why not.
const hello = 1

// controlSocket takes a descriptor over as a sequenced socket.
func controlSocket(fd uintptr) (*net.UnixConn, error) {
	file := os.NewFile(fd, "control")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("it is a %T", c)
	}
	return conn, nil
}

// fabric is process 1 of a run.
type fabric struct {
	conn *net.UnixConn
	log  *slog.Logger

	mu   sync.Mutex     // guards pods
	pods map[string]int // process number of each agent, as the fabric sees it
}

// settle makes the fabric's own namespaces fit to live in.
func (f *fabric) settle() error {
	if os.Getpid() != 1 {
		return errors.New("a fabric is process 1 of namespaces of its own; raftcheck starts it")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := mountProc("/proc"); err != nil {
		return err
	}
	return makeBridge()
}

// serve answers requests, several at once, until the harness is gone.
func (f *fabric) serve() error {
	buf := make([]byte, maxPacket)
	oob := make([]byte, unix.CmsgSpace(4*8))
	for {
		n, oobn, _, _, err := f.conn.ReadMsgUnix(buf, oob)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var req request
		files, err := receivedFiles(oob[:oobn])
		if err == nil {
			err = json.Unmarshal(buf[:n], &req)
		}
		if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		go func() {
			started, err := f.start(req, files)
			for _, file := range files {
				file.Close()
			}
			ev := event{ID: req.ID}
			if err != nil {
				ev.Error = err.Error()
			}
			if err := f.say(ev); err == nil && started != nil {
				f.await(req.ID, started)
			}
		}()
	}
}

// receivedFiles are the descriptors that came with a packet.
func receivedFiles(oob []byte) ([]*os.File, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "stream"))
		}
	}
	return files, nil
}

// start starts what is asked for. It returns once that is executed and has its place.
func (f *fabric) start(req request, files []*os.File) (*exec.Cmd, error) {
	want := 3
	if req.Op == opNode {
		want = 1
	}
	if len(files) != want {
		return nil, fmt.Errorf("start a %s: got %d streams, want %d", req.Op, len(files), want)
	}
	switch req.Op {
	case opPod:
		return f.startPod(req, files)
	case opNode:
		return f.startNode(req, files[0])
	case opDriver:
		return f.startDriver(req, files)
	}
	return nil, fmt.Errorf("start a %q: there is no such thing", req.Op)
}

// await tells when a process ends.
func (f *fabric) await(id uint64, cmd *exec.Cmd) {
	err := cmd.Wait()
	ev := event{Started: id, At: time.Now(), Code: -1}
	if cmd.ProcessState != nil {
		ev.Code = cmd.ProcessState.ExitCode()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			ev.Code = 128 + int(ws.Signal())
		}
	} else if err != nil {
		ev.Error = err.Error()
	}
	if err := f.say(ev); err != nil {
		f.log.Debug("tell of an end", "err", err) // the harness is gone, and so are we in a moment
	}
}

func (f *fabric) say(ev event) error {
	packet, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	_, err = f.conn.Write(packet)
	return err
}
