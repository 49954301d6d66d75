package nats

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/raftcheck/raftcheck/harness/sut"
)

type streamInfo struct {
	Cluster struct {
		Leader   string `json:"leader"`
		Replicas []struct {
			Current bool `json:"current"`
		} `json:"replicas"`
	} `json:"cluster"`
}

// Status implements [sut.System]: who leads the bucket, as seen through n. The term is not told. As
// long as the bucket has never been there, it is made; the cluster is ready when every replica has
// caught up.
func (s *System) Status(ctx context.Context, n sut.Node) (sut.Status, error) {
	c := &Conn{url: url(n, clientPort)}
	defer c.Close()
	st, err := s.status(ctx, n, c)
	if err != nil {
		return sut.Status{}, fmt.Errorf("status of %s: %w", n.ID, err)
	}
	return st, nil
}

func (s *System) status(ctx context.Context, n sut.Node, c *Conn) (sut.Status, error) {
	var info streamInfo
	err := c.call(ctx, &nats.Msg{Subject: api + "STREAM.INFO." + bucket}, &info)
	if hasCode(err, noStream) && !s.wasMade() {
		return sut.Status{}, s.make(ctx, c)
	}
	if err != nil {
		return sut.Status{}, err
	}
	if !s.wasMade() {
		for _, r := range info.Cluster.Replicas {
			if !r.Current {
				return sut.Status{}, fmt.Errorf("a replica of the bucket has not caught up")
			}
		}
		s.setMade()
	}
	st := sut.Status{ID: n.ID, Role: "follower", Leader: sut.NodeID(info.Cluster.Leader)}
	if st.Leader == n.ID {
		st.Role = "leader"
	}
	return st, nil
}

func (s *System) wasMade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

func (s *System) setMade() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = true
}

// make makes the bucket, as NATS's own clients do. It always returns an error: the bucket is not
// ready yet.
func (s *System) make(ctx context.Context, c *Conn) error {
	body, err := json.Marshal(map[string]any{
		"name": bucket, "subjects": []string{prefix + ">"}, "num_replicas": s.replicas,
		"storage": "file", "retention": "limits", "discard": "new", "max_msgs_per_subject": 1,
		"max_msgs": -1, "max_bytes": -1, "max_msg_size": -1, "max_consumers": -1,
		"allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true,
	})
	if err != nil {
		return err
	}
	m := &nats.Msg{Subject: api + "STREAM.CREATE." + bucket, Data: body}
	if err := c.call(ctx, m, &struct{}{}); err != nil {
		return fmt.Errorf("make the bucket: %w", err)
	}
	return fmt.Errorf("the bucket was made just now")
}
