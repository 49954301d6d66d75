package etcd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// The codes of gRPC that the table below names.
const (
	invalidArgument    = 3
	notFound           = 5
	permissionDenied   = 7
	failedPrecondition = 9
	outOfRange         = 11
	unimplemented      = 12
	unauthenticated    = 16
)

// refusal is the body of an answer that is not 200.
type refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Error   string `json:"error"` // the message, in gateways of 3.5
}

// neverProposed are messages with which etcd turns a request down before it proposes it to Raft, or
// that it gives for a whole request that it did not apply. (server/etcdserver: errors and
// apply; server/etcdserver/api/v3rpc: util and interceptor.)
var neverProposed = []string{
	"etcdserver: too many requests",
	"etcdserver: request is too large",
	"etcdserver: mvcc: database space exceeded",
	"etcdserver: rpc not supported for learner",
	"etcdserver: not capable",
	"etcdserver: unhealthy cluster",
}

// refused says what an answer means that is not 200. Definite are a request that was turned down
// for what it says, or before it was proposed. A timeout, a lost leader, a server that stops, and
// whatever is not in the tables may have been carried out all the same.
func refused(status int, body []byte) error {
	var r refusal
	if json.Unmarshal(body, &r) != nil || (r.Code == 0 && r.Message == "" && r.Error == "") {
		err := fmt.Errorf("status %d: %.100q", status, body)
		if status == http.StatusNotFound { // there is no such method
			return sut.Failed(err)
		}
		return err
	}
	if r.Message == "" {
		r.Message = r.Error
	}
	err := fmt.Errorf("code %d: %s", r.Code, r.Message)
	switch r.Code {
	case invalidArgument, notFound, permissionDenied, failedPrecondition, outOfRange, unimplemented,
		unauthenticated:
		return sut.Failed(err)
	}
	for _, m := range neverProposed {
		if strings.HasPrefix(r.Message, m) {
			return sut.Failed(err)
		}
	}
	return err
}
