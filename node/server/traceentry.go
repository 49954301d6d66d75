package server

import (
	"strconv"
	"time"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
)

// traceCommand is how long a command may be, in bytes, to stand in the trace. Of a longer one the
// trace tells that it was applied, and not what it said.
const traceCommand = 4 << 10

// opNames are what operations are called in the trace.
var opNames = [...]string{
	kv.OpPut: "put", kv.OpCAS: "cas", kv.OpDelete: "delete", kv.OpAppend: "append",
	kv.OpGet: "get", kv.OpIncrement: "increment", kv.OpTxn: "txn",
	kv.OpOpenSession: "open_session", kv.OpCloseSession: "close_session",
	kv.OpKeepSession: "keep_session",
}

// applied takes in that the state machine has applied an entry and has a digest now. It runs beside
// the loop, so that its place among the loop's events says nothing. A nil tracer takes in nothing.
func (t *tracer) applied(e *raft.Entry, digest uint64) {
	if t == nil {
		return
	}
	now := time.Since(t.start)
	t.mu.Lock()
	t.seq++
	if len(t.buf) > traceBuffer {
		t.dropped++
	} else {
		t.buf = strconv.AppendUint(append(t.buf, `{"seq":`...), t.seq, 10)
		t.buf = strconv.AppendInt(append(t.buf, `,"t":`...), int64(now), 10)
		t.buf = append(append(append(t.buf, `,"node":"`...), t.node...), `","ev":"apply"`...)
		t.buf = appendNumber(t.buf, `,"term":`, uint64(e.Term))
		t.buf = appendNumber(t.buf, `,"index":`, uint64(e.Index))
		t.buf = strconv.AppendUint(append(t.buf, `,"digest":"`...), digest, 16)
		t.buf = append(traceEntry(append(t.buf, '"'), e), "}\n"...)
		t.bufSeq = t.seq
	}
	t.mu.Unlock()
	signal(t.wake)
}

// traceEntry tells what an entry says: op none for one that is not for the state machine, and
// other for one that the trace does not spell out.
func traceEntry(b []byte, e *raft.Entry) []byte {
	if e.Kind != raft.EntryCommand {
		return append(b, `,"op":"none"`...)
	}
	c, err := kv.Decode(e.Data)
	if err != nil || len(e.Data) > traceCommand || int(c.Op) >= len(opNames) {
		return append(b, `,"op":"other"`...)
	}
	b = append(append(append(b, `,"op":"`...), opNames[c.Op]...), '"')
	if c.Key != "" {
		b = appendJSONString(append(b, `,"key":`...), c.Key)
	}
	switch c.Op {
	case kv.OpPut, kv.OpAppend:
		b = appendJSONString(append(b, `,"value":`...), c.Value)
	case kv.OpCAS:
		b = appendJSONString(append(b, `,"value":`...), c.Value)
		if !c.OldAbsent {
			b = appendJSONString(append(b, `,"old":`...), c.Old)
		}
	}
	b = appendNumber(b, `,"session":`, c.Session.ID)
	return appendNumber(b, `,"request":`, c.Session.Seq)
}
