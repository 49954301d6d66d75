package raftkv

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

var _ sut.Membership = System{}

// Joining implements [sut.Membership]. A newcomer calls the members, so that they know its address;
// only then can it be added. A node that lost its disk has lost its votes, and can not come back
// under its name.
func (s System) Joining(self sut.Node, members, all []sut.Node) sut.Joining {
	cmd := s.Command(self, all)
	cmd.Args = append(cmd.Args, "--voters", names(members))
	return sut.Joining{Command: cmd}
}

// Members implements [sut.Membership].
func (System) Members(ctx context.Context, n sut.Node) ([]sut.NodeID, error) {
	var st struct {
		Voters []sut.NodeID `json:"voters"`
		Old    []sut.NodeID `json:"old_voters"`
	}
	if err := getStatus(ctx, n, &st); err != nil {
		return nil, err
	}
	for _, id := range st.Old {
		if !slices.Contains(st.Voters, id) {
			st.Voters = append(st.Voters, id)
		}
	}
	return st.Voters, nil
}

type membersRequest struct {
	Voters  []sut.NodeID `json:"voters"`
	Wait    bool         `json:"wait"`
	Timeout int64        `json:"timeout_ms,omitempty"`
}

// SetMembers implements [sut.Membership], from any members to any others by joint consensus.
func (System) SetMembers(ctx context.Context, n sut.Node, want []sut.Node) error {
	req := membersRequest{Wait: true, Timeout: millis(ctx)}
	for _, w := range want {
		req.Voters = append(req.Voters, w.ID)
	}
	c := newConn(n)
	defer c.Close()
	if err := c.post(ctx, "admin/members", req, &struct{}{}); err != nil {
		return fmt.Errorf("make %s the members: %w", names(want), err)
	}
	return nil
}

type transferRequest struct {
	To      sut.NodeID `json:"to"`
	Wait    bool       `json:"wait"`
	Timeout int64      `json:"timeout_ms,omitempty"`
}

// Transfer implements [sut.Membership].
func (System) Transfer(ctx context.Context, n, to sut.Node) error {
	c := newConn(n)
	defer c.Close()
	req := transferRequest{To: to.ID, Wait: true, Timeout: millis(ctx)}
	if err := c.post(ctx, "admin/transfer", req, &struct{}{}); err != nil {
		return fmt.Errorf("transfer leadership to %s: %w", to.ID, err)
	}
	return nil
}

// millis is the time that is left, a little less so that the node's own answer comes first.
func millis(ctx context.Context) int64 {
	end, ok := ctx.Deadline()
	if !ok {
		return 0 // the node's default
	}
	return max(1, (time.Until(end) * 9 / 10).Milliseconds())
}

func names(nodes []sut.Node) string {
	text := ""
	for i, n := range nodes {
		if i > 0 {
			text += ","
		}
		text += string(n.ID)
	}
	return text
}

// getStatus reads what n says of itself.
func getStatus(ctx context.Context, n sut.Node, into any) error {
	c := newConn(n)
	defer c.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/status", nil)
	if err == nil {
		err = c.send(req, into)
	}
	if err != nil {
		return fmt.Errorf("status of %s: %w", n.ID, err)
	}
	return nil
}
