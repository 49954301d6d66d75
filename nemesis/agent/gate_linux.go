package agent

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// Gate waits until the agent has mounted the node's disk, and becomes the program args. It is what
// a node's container starts instead of its own program; on success it does not return.
func Gate(args []string) error {
	if len(args) == 0 {
		return errors.New("the gate was given no program to start")
	}
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	conn, err := net.Dial("unix", wire.GateSocket)
	if err != nil {
		return fmt.Errorf("knock at the gate: %w", err)
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		return fmt.Errorf("wait at the gate: %w", err)
	}
	if err := os.Chdir(wd); err != nil { // it may be on the disk that was mounted just now
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("start %s: %w", path, unix.Exec(path, args, os.Environ()))
}
