package server

import (
	"fmt"
	"net/http"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
)

// Error is what a client is told when a request was not carried out. API.md has the table.
type Error struct {
	Status  int
	Code    string
	Message string
	// Definite promises that the request has had and will have no effect. It is set only where
	// the request has not been appended, or something else was committed in its place.
	Definite bool
	Leader   raft.ID // where to ask instead, if known
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func errBadRequest(message string) *Error {
	return &Error{http.StatusBadRequest, "bad_request", message, true, 0}
}

func errTooLarge(message string) *Error {
	return &Error{http.StatusRequestEntityTooLarge, "too_large", message, true, 0}
}

func errNotLeader(leader raft.ID) *Error {
	if leader == 0 {
		return &Error{http.StatusServiceUnavailable, "no_leader", "no leader is known", true, 0}
	}
	return &Error{http.StatusMisdirectedRequest, "not_leader", "this node is not the leader", true,
		leader}
}

func errTransferring() *Error {
	return &Error{http.StatusServiceUnavailable, "transferring",
		"leadership is being handed over", true, 0}
}

func errOverloaded() *Error {
	return &Error{http.StatusTooManyRequests, "overloaded", "too much is in flight", true, 0}
}

func errStopping() *Error {
	return &Error{http.StatusServiceUnavailable, "stopping", "this node is stopping", true, 0}
}

func errOverwritten() *Error {
	return &Error{http.StatusConflict, "overwritten",
		"another entry was committed in this one's place", true, 0}
}

func errLeadershipLost() *Error {
	return &Error{http.StatusServiceUnavailable, "leadership_lost",
		"leadership was lost after the entry was appended", false, 0}
}

func errInterrupted() *Error {
	return &Error{http.StatusServiceUnavailable, "interrupted",
		"the node stopped after the entry was appended", false, 0}
}

func errTimeout(definite bool) *Error {
	return &Error{http.StatusGatewayTimeout, "timeout", "no decision within the time", definite, 0}
}

func errReadAborted() *Error {
	return &Error{http.StatusServiceUnavailable, "read_aborted",
		"the read could not be confirmed", true, 0}
}

// resultError turns what the state machine refused into an error. The log decided it: the command
// had no effect and never will have. Only for a session that is not there it cannot be known what
// became of an earlier attempt.
func resultError(r kv.Result) *Error {
	switch r.Code {
	case "":
		return nil
	case kv.CodeTooLarge:
		return errTooLarge(fmt.Sprintf("the value would exceed %d bytes", kv.MaxValue))
	case kv.CodeNotANumber:
		return &Error{http.StatusConflict, string(r.Code),
			"what stands there is not a number of 64 bits, or would not be", true, 0}
	case kv.CodeSessionUnknown:
		return &Error{http.StatusGone, string(r.Code),
			"the session was never opened, or is closed or expired", false, 0}
	case kv.CodeSeqExpired:
		return &Error{http.StatusConflict, string(r.Code),
			"the session has forgotten the answer to this request", false, 0}
	}
	return errBadRequest("the state machine refused: " + string(r.Code))
}

func errConfigBusy(message string) *Error {
	return &Error{http.StatusConflict, "config_busy", message, true, 0}
}

func errBadConfig(message string) *Error {
	return &Error{http.StatusConflict, "bad_config", message, true, 0}
}
