package server

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/raftcheck/raftcheck/node/kv"
)

// operation is one kind of command: how it is read from a request, and its result written.
type operation struct {
	name    string
	command func(*request) (kv.Command, *Error)
	reply   func([]byte, *request, answer) []byte
}

// operations are those that go through the log.
var operations = [...]operation{
	{"put", putCommand, versionReply},
	{"cas", casCommand, casReply},
	{"delete", keyCommand(kv.OpDelete), deleteReply},
	{"append", appendCommand, valueReply},
	{"increment", incrementCommand, valueReply},
	{"txn", txnCommand, txnReply},
	{"session/open", plainCommand(kv.OpOpenSession), openReply},
	{"session/close", plainCommand(kv.OpCloseSession), okReply},
	{"session/keepalive", plainCommand(kv.OpKeepSession), okReply},
}

func needKey(r *request) (string, *Error) {
	if r.Key == nil {
		return "", errBadRequest("no key")
	}
	return *r.Key, nil
}

func needPair(r *request, op kv.Op) (kv.Command, *Error) {
	key, e := needKey(r)
	if e == nil && r.Value == nil {
		e = errBadRequest("no value")
	}
	if e != nil {
		return kv.Command{}, e
	}
	return kv.Command{Op: op, Key: key, Value: *r.Value}, nil
}

func putCommand(r *request) (kv.Command, *Error)    { return needPair(r, kv.OpPut) }
func appendCommand(r *request) (kv.Command, *Error) { return needPair(r, kv.OpAppend) }

func keyCommand(op kv.Op) func(*request) (kv.Command, *Error) {
	return func(r *request) (kv.Command, *Error) {
		key, e := needKey(r)
		return kv.Command{Op: op, Key: key}, e
	}
}

func plainCommand(op kv.Op) func(*request) (kv.Command, *Error) {
	return func(*request) (kv.Command, *Error) { return kv.Command{Op: op}, nil }
}

func casCommand(r *request) (kv.Command, *Error) {
	key, e := needKey(r)
	if e == nil && r.New == nil {
		e = errBadRequest("no new value")
	}
	if e != nil {
		return kv.Command{}, e
	}
	c := kv.Command{Op: kv.OpCAS, Key: key, Value: *r.New, OldAbsent: r.Old == nil}
	if r.Old != nil {
		c.Old = *r.Old
	}
	return c, nil
}

func incrementCommand(r *request) (kv.Command, *Error) {
	key, e := needKey(r)
	c := kv.Command{Op: kv.OpIncrement, Key: key, Delta: 1}
	if r.Delta != nil {
		c.Delta = *r.Delta
	}
	return c, e
}

func versionReply(b []byte, _ *request, a answer) []byte {
	b = strconv.AppendUint(append(b, `{"version":`...), a.Version, 10)
	return append(b, '}')
}

func valueReply(b []byte, _ *request, a answer) []byte {
	b = strconv.AppendUint(append(b, `{"version":`...), a.Version, 10)
	return append(appendJSONString(append(b, `,"value":`...), a.Value), '}')
}

func casReply(b []byte, _ *request, a answer) []byte {
	b = strconv.AppendBool(append(b, `{"swapped":`...), a.Done)
	if !a.Done {
		b = strconv.AppendBool(append(b, `,"found":`...), a.Found)
		b = appendJSONString(append(b, `,"value":`...), a.Value)
	}
	b = strconv.AppendUint(append(b, `,"version":`...), a.Version, 10)
	return append(b, '}')
}

func deleteReply(b []byte, _ *request, a answer) []byte {
	return append(strconv.AppendBool(append(b, `{"deleted":`...), a.Done), '}')
}

func openReply(b []byte, _ *request, a answer) []byte {
	return append(strconv.AppendUint(append(b, `{"session":`...), a.Version, 10), '}')
}

func okReply(b []byte, _ *request, _ answer) []byte { return append(b, `{"ok":true}`...) }

func foundReply(b []byte, a kv.Result) []byte {
	b = strconv.AppendBool(append(b, `{"found":`...), a.Found)
	b = appendJSONString(append(b, `,"value":`...), a.Value)
	b = strconv.AppendUint(append(b, `,"version":`...), a.Version, 10)
	return append(b, '}')
}

// The modes of a read.
const (
	modeLinearizable = "linearizable" // by ReadIndex
	modeLog          = "log"          // through the log, like a write
	modeStale        = "stale"        // whatever this node has applied
)

func (s *Server) serveGet(w http.ResponseWriter, r *http.Request) {
	req, timeout, e := readRequest(w, r)
	var key string
	if e == nil {
		key, e = needKey(&req)
	}
	c := kv.Command{Op: kv.OpGet, Key: key}
	if e == nil {
		e = validate(&c)
	}
	if e != nil {
		s.writeError(w, e)
		return
	}
	var a answer
	switch req.Mode {
	case "", modeLinearizable, modeStale:
		a = s.read(read{key: key}, req.Mode == modeStale, timeout)
	case modeLog:
		if a = s.write(c, timeout); a.err != nil {
			a.err.Definite = true // a read has no effect
		}
	default:
		a.err = errBadRequest(fmt.Sprintf("no mode %q", req.Mode))
	}
	if a.err != nil {
		s.writeError(w, a.err)
		return
	}
	b := foundReply(make([]byte, 0, 64+len(a.Value)), a.Result)
	writeBody(w, http.StatusOK, append(b, '\n'))
}

const (
	defaultListLimit = 1000
	maxListLimit     = 10000
)

func (s *Server) serveList(w http.ResponseWriter, r *http.Request) {
	req, timeout, e := readRequest(w, r)
	limit := req.Limit
	switch {
	case e != nil:
	case limit == 0:
		limit = defaultListLimit
	case limit < 0 || limit > maxListLimit:
		e = errBadRequest(fmt.Sprintf("limit is not between 1 and %d", maxListLimit))
	}
	if e == nil && req.Mode != "" && req.Mode != modeLinearizable && req.Mode != modeStale {
		e = errBadRequest(fmt.Sprintf("no mode %q", req.Mode))
	}
	if e != nil {
		s.writeError(w, e)
		return
	}
	a := s.read(read{prefix: req.Prefix, start: req.Start, limit: limit},
		req.Mode == modeStale, timeout)
	if a.err != nil {
		s.writeError(w, a.err)
		return
	}
	b := append(make([]byte, 0, 64+64*len(a.list)), `{"items":[`...)
	for i, item := range a.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(append(b, `{"key":`...), item.Key)
		b = appendJSONString(append(b, `,"value":`...), item.Value)
		b = strconv.AppendUint(append(b, `,"version":`...), item.Version, 10)
		b = append(b, '}')
	}
	b = strconv.AppendBool(append(b, `],"more":`...), a.more)
	writeBody(w, http.StatusOK, append(b, "}\n"...))
}
