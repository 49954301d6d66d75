package clustertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// System starts testnodes.
type System struct {
	// Args are added to those of every node.
	Args []string
}

var _ sut.System = System{}

// port is where testnodes listen.
const port = 7000

// Name implements [sut.System].
func (System) Name() string { return "testnode" }

// Command implements [sut.System].
func (s System) Command(self sut.Node, all []sut.Node) sut.Command {
	args := []string{"node", "-id", string(self.ID), "-listen", addrOf(self), "-data", "/data"}
	for _, n := range all {
		if n.ID != self.ID {
			args = append(args, "-peer", string(n.ID)+"="+addrOf(n))
		}
	}
	return sut.Command{Args: append(args, s.Args...), DataDir: "/data"}
}

// Dial implements [sut.System]; testnodes have no clients.
func (System) Dial(context.Context, sut.Node) (sut.Conn, error) {
	return nil, errors.New("a testnode has no clients")
}

// Status implements [sut.System]; testnodes say nothing of themselves.
func (System) Status(context.Context, sut.Node) (sut.Status, error) {
	return sut.Status{}, errors.New("a testnode has no status")
}

func addrOf(n sut.Node) string { return netip.AddrPortFrom(n.Addr, port).String() }

// Look is a line of a testnode's log: what it has seen since it was started.
type Look struct {
	ID    sut.NodeID            `json:"id"`
	Boot  int                   `json:"boot"`
	Line  int                   `json:"line"`
	Wall  int64                 `json:"wall"`
	Mono  time.Duration         `json:"mono"`
	CPU   time.Duration         `json:"cpu"`
	Recv  map[sut.NodeID]uint64 `json:"recv"`
	Acked map[sut.NodeID]uint64 `json:"acked"`
	Dials map[sut.NodeID]uint64 `json:"dials"`
	RTT   map[sut.NodeID]int64  `json:"rtt"`
}

// looks reads the log of a node: every look up to now. Lines that are none are left out, and so is
// one that is being written.
func looks(spec cluster.Spec, id sut.NodeID) ([]Look, error) {
	f, err := os.Open(filepath.Join(spec.LogDir, string(id)+".log"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Look
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l Look
		if json.Unmarshal(sc.Bytes(), &l) == nil && l.ID == id {
			all = append(all, l)
		}
	}
	return all, sc.Err()
}

// last is the last look of a node.
func last(t *testing.T, spec cluster.Spec, id sut.NodeID) Look {
	t.Helper()
	var l Look
	eventually(t, "a line from "+string(id), func() error {
		all, err := looks(spec, id)
		if err == nil && len(all) == 0 {
			err = errors.New("it wrote none")
		}
		if err == nil {
			l = all[len(all)-1]
		}
		return err
	})
	return l
}

// flows waits until pings from one node arrive at another.
func flows(t *testing.T, spec cluster.Spec, from, to sut.NodeID) {
	t.Helper()
	before := last(t, spec, to).Recv[from]
	eventually(t, fmt.Sprintf("pings from %s at %s", from, to), func() error {
		if n := last(t, spec, to).Recv[from]; n < before+10 {
			return fmt.Errorf("%d arrived before and %d now", before, n)
		}
		return nil
	})
}

// silent waits until no ping from one node arrives at another any more, while the clock is the
// pings that still arrive from n3, a third one.
func silent(t *testing.T, spec cluster.Spec, from, to sut.NodeID) {
	t.Helper()
	const clock = sut.NodeID("n3")
	start := last(t, spec, to)
	eventually(t, fmt.Sprintf("silence from %s at %s", from, to), func() error {
		now := last(t, spec, to)
		if now.Recv[from] != start.Recv[from] {
			start = now
			return fmt.Errorf("pings still arrive: %d", now.Recv[from])
		}
		if beats := now.Recv[clock] - start.Recv[clock]; beats < 60 {
			return fmt.Errorf("only %d pings from %s meanwhile", beats, clock)
		}
		return nil
	})
}

// logText is all that a node wrote.
func logText(t *testing.T, spec cluster.Spec, id sut.NodeID) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(spec.LogDir, string(id)+".log"))
	must(t, err)
	return string(b)
}

// tell sends a line to a testnode, from within its network.
func tell(t *testing.T, c cluster.Cluster, n sut.Node, text string) string {
	t.Helper()
	dh, ok := c.(cluster.DriverHost)
	if !ok {
		t.Skip("this runtime has no client driver")
	}
	d, err := dh.Driver(t.Context())
	must(t, err)
	defer d.Close()
	return ask(t, bufio.NewReadWriter(bufio.NewReader(d), bufio.NewWriter(d)),
		"send "+addrOf(n)+" "+text)
}

// ask has the driver answer one line.
func ask(t *testing.T, d *bufio.ReadWriter, line string) string {
	t.Helper()
	_, err := d.WriteString(line + "\n")
	must(t, errors.Join(err, d.Flush()))
	answer, err := d.ReadString('\n')
	must(t, err)
	return strings.TrimSpace(answer)
}

// ids are the names of the nodes.
func ids(nodes []sut.Node) []sut.NodeID {
	var names []sut.NodeID
	for _, n := range nodes {
		names = append(names, n.ID)
	}
	slices.Sort(names)
	return names
}
