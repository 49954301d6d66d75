package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/raftcheck/raftcheck/harness/sut"
)

const (
	bucket   = "KV_raftcheck"
	prefix   = "$KV.raftcheck."
	api      = "$JS.API."
	expected = "Nats-Expected-Last-Subject-Sequence"
)

// apiError is how JetStream says no.
type apiError struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Description) }

// The codes of errors that decide something (server/errors.json of nats-server).
const (
	noMessage         = 10037
	noStream          = 10059
	wrongLastSequence = 10071
	// wrongInFlight is the same, for a message that has not been stored yet.
	wrongInFlight = 10164
)

// hasCode says whether err is JetStream's with one of the codes.
func hasCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*apiError](err)
	for _, code := range codes {
		if ok && e.Code == code {
			return true
		}
	}
	return false
}

// call asks for a method of JetStream's API, or sends a message to a stream, and reads the answer.
// An error may be an [*apiError].
func (c *Conn) call(ctx context.Context, m *nats.Msg, answer any) error {
	reply, err := c.ask(ctx, m)
	if err != nil {
		return err
	}
	var failed struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &failed); err != nil {
		return fmt.Errorf("answer %.100q: %w", reply.Data, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(reply.Data, answer)
}

// Get implements [sut.KV]: a read from the leader of the bucket, or from any replica. That there is
// no bucket, which the leader of all says, means that there is no such key either: it was made
// before the first operation.
func (c *Conn) Get(ctx context.Context, key string) (sut.Value, error) {
	if c.direct {
		return c.getDirect(ctx, key)
	}
	body, err := json.Marshal(map[string]string{"last_by_subj": prefix + key})
	if err != nil {
		return sut.Value{}, sut.Failed(err)
	}
	var a struct {
		Message struct {
			Sequence uint64 `json:"seq"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	err = c.call(ctx, &nats.Msg{Subject: api + "STREAM.MSG.GET." + bucket, Data: body}, &a)
	if hasCode(err, noMessage, noStream) {
		return sut.Value{}, nil
	}
	if err != nil {
		return sut.Value{}, err
	}
	return sut.Value{
		Data: string(a.Message.Data), Present: true, Version: a.Message.Sequence,
	}, nil
}

// getDirect reads from whichever replica answers. What it answers is in headers.
func (c *Conn) getDirect(ctx context.Context, key string) (sut.Value, error) {
	m, err := c.ask(ctx, &nats.Msg{Subject: api + "DIRECT.GET." + bucket + "." + prefix + key})
	if err != nil {
		return sut.Value{}, err
	}
	switch status := m.Header.Get("Status"); {
	case status == "404":
		return sut.Value{}, nil
	case status != "":
		return sut.Value{}, fmt.Errorf("status %s: %s", status, m.Header.Get("Description"))
	}
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return sut.Value{}, fmt.Errorf("an answer without a sequence: %v", m.Header)
	}
	return sut.Value{Data: string(m.Data), Present: true, Version: seq}, nil
}

// Put implements [sut.KV].
func (c *Conn) Put(ctx context.Context, key, value string) error {
	return c.publish(ctx, &nats.Msg{Subject: prefix + key, Data: []byte(value)})
}

// publish appends a message to the bucket. Definite is that its last one was another than the
// message said; of other errors JetStream does not say when they happen.
func (c *Conn) publish(ctx context.Context, m *nats.Msg) error {
	var ack struct {
		Sequence uint64 `json:"seq"`
	}
	err := c.call(ctx, m, &ack)
	switch {
	case hasCode(err, wrongLastSequence, wrongInFlight):
		return sut.Failed(err)
	case err == nil && ack.Sequence == 0:
		return errors.New("an acknowledgement without a sequence")
	}
	return err
}

// CAS implements [sut.KV]. NATS compares the version, not the value; so it is a read, and a write
// if the version is still the same. If it is not, the value was another in between, and nothing was
// written.
func (c *Conn) CAS(ctx context.Context, key, old, new string) (sut.CASResult, error) {
	found, err := c.Get(ctx, key)
	if err != nil { // and nothing has been written
		return sut.CASResult{}, sut.Failed(err)
	}
	if !found.Present || found.Data != old {
		return sut.CASResult{Found: &found}, nil
	}
	m := &nats.Msg{Subject: prefix + key, Data: []byte(new), Header: nats.Header{}}
	m.Header.Set(expected, strconv.FormatUint(found.Version, 10))
	if err := c.publish(ctx, m); err != nil {
		return sut.CASResult{}, err
	}
	return sut.CASResult{Swapped: true}, nil
}
