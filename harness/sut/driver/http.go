package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/harness/sut/web"
)

// httpConn is a client of one node that sends the requests of the file.
type httpConn struct {
	spec *spec
	at   place
	web  *web.Client
}

func (s *System) http(n sut.Node) *httpConn {
	return &httpConn{
		spec: s.spec, at: s.place(n, []sut.Node{n}),
		web: web.New(netip.AddrPortFrom(n.Addr, s.spec.Port)),
	}
}

// Close implements [sut.Conn].
func (c *httpConn) Close() error { return c.web.Close() }

// Get implements [sut.KV].
func (c *httpConn) Get(ctx context.Context, key string) (sut.Value, error) {
	a, is, err := c.ask(ctx, c.spec.Get, question{Key: key})
	if err != nil || is == isAbsent {
		return sut.Value{}, err
	}
	return c.spec.Get.value(a)
}

// Put implements [sut.KV].
func (c *httpConn) Put(ctx context.Context, key, value string) error {
	_, _, err := c.ask(ctx, c.spec.Put, question{Key: key, Value: value})
	return err
}

// CAS implements [sut.KV].
func (c *httpConn) CAS(ctx context.Context, key, old, new string) (sut.CASResult, error) {
	if c.spec.CAS == nil {
		return sut.CASResult{}, sut.Failed(fmt.Errorf("the system %s has no cas", c.spec.Name))
	}
	a, is, err := c.ask(ctx, c.spec.CAS, question{Key: key, Old: old, New: new})
	if err != nil || is == isOK {
		return sut.CASResult{Swapped: err == nil}, err
	}
	if c.spec.CAS.Value.Template == nil {
		return sut.CASResult{}, nil
	}
	found, err := c.spec.CAS.value(a)
	return sut.CASResult{Found: &found}, err
}

// value is what the answer says that is there.
func (o *opSpec) value(a answer) (sut.Value, error) {
	if o.Value.Template == nil {
		return sut.Value{Data: a.Body, Present: true}, nil
	}
	data, err := o.Value.fill(a)
	if err != nil {
		return sut.Value{}, fmt.Errorf("find the value in %.100q: %w", a.Body, err)
	}
	return sut.Value{Data: data, Present: true}, nil
}

// ask sends a request and says what its answer means. The error is definite if the file says so, or
// if the node could not be reached.
func (c *httpConn) ask(ctx context.Context, op *opSpec, q question) (answer, meaning, error) {
	q.place = c.at
	path, badPath := op.Path.fill(q)
	body, badBody := op.Body.fill(q)
	if err := errors.Join(badPath, badBody); err != nil {
		return answer{}, isFail, sut.Failed(fmt.Errorf("fill the request in: %w", err))
	}
	status, got, err := c.web.Do(ctx, web.Request{
		Method: cmp.Or(op.Method, http.MethodGet), Path: path, Type: op.Type, Body: []byte(body),
	})
	if err != nil {
		return answer{}, isUnknown, err
	}
	a := answer{question: q, Status: status, Body: string(got), JSON: decode(got)}
	is, err := meaningOf(slices.Concat(op.Answers, c.spec.Errors), a)
	if err != nil {
		return a, isUnknown, err
	}
	switch is {
	case isFail:
		err = sut.Failed(fmt.Errorf("status %d: %.200q", status, got))
	case isUnknown:
		err = fmt.Errorf("status %d: %.200q", status, got)
	}
	return a, is, err
}

// meaningOf finds the first rule that holds for a.
func meaningOf(rules []rule, a answer) (meaning, error) {
	for _, r := range rules {
		if len(r.Status) > 0 && !slices.Contains(r.Status, a.Status) {
			continue
		}
		if r.When.Template != nil {
			said, err := r.When.fill(a)
			if err != nil {
				return isUnknown, fmt.Errorf("judge the answer %.100q: %w", a.Body, err)
			}
			if said != "true" {
				continue
			}
		}
		return r.Is, nil
	}
	return isUnknown, nil
}

// status asks the node about itself.
func (c *httpConn) status(ctx context.Context) (st sut.Status, err error) {
	spec := c.spec.Status
	a, _, err := c.ask(ctx, &spec.Ask, question{})
	if err != nil {
		return st, err
	}
	var bad [6]error
	var leader string
	leader, bad[0] = spec.Leader.fill(a)
	st.Leader = sut.NodeID(leader)
	st.Role, bad[1] = spec.Role.fill(a)
	st.Digest, bad[2] = spec.Digest.fill(a)
	st.Term, bad[3] = spec.Term.number(a)
	st.Commit, bad[4] = spec.Commit.number(a)
	st.Applied, bad[5] = spec.Applied.number(a)
	return st, errors.Join(bad[:]...)
}
