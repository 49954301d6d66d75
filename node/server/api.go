package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/raftcheck/raftcheck/node/kv"
)

const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = time.Minute
	// maxBody bounds a request: two values, each byte of which JSON may write as six.
	maxBody = 12*kv.MaxValue + 1<<20
)

// request is the body of every operation; each uses some fields.
type request struct {
	Key       *string `json:"key"`
	Value     *string `json:"value"`
	Old       *string `json:"old"`
	New       *string `json:"new"`
	Delta     *int64  `json:"delta"`
	TimeoutMS int64   `json:"timeout_ms"`

	Session uint64 `json:"session"`
	Seq     uint64 `json:"seq"`
	Ack     uint64 `json:"ack"`

	Mode   string `json:"mode"` // get, list
	Prefix string `json:"prefix"`
	Start  string `json:"start"`
	Limit  int    `json:"limit"`

	Compare []compareJSON `json:"compare"` // txn
	Then    []stepJSON    `json:"then"`
	Else    []stepJSON    `json:"else"`
}

// handler is the HTTP side of the server.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, o := range operations {
		mux.HandleFunc("POST /v1/"+o.name, s.serveWrite(o))
	}
	mux.HandleFunc("POST /v1/get", s.serveGet)
	mux.HandleFunc("POST /v1/list", s.serveList)
	mux.HandleFunc("POST /v1/admin/members", s.serveMembers)
	mux.HandleFunc("POST /v1/admin/transfer", s.serveTransfer)
	mux.HandleFunc("POST /v1/admin/snapshot", s.serveSnapshot)
	mux.HandleFunc("GET /v1/status", s.serveStatus)
	mux.HandleFunc("GET /metrics", s.serveMetrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeBody(w, http.StatusOK, []byte("{\"ok\":true}\n"))
	})
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.writeError(w, errBadRequest(fmt.Sprintf("no operation %s %s", r.Method, r.URL.Path)))
	})
	return mux
}

// readBody reads a JSON body into v.
func readBody(w http.ResponseWriter, r *http.Request, v any) *Error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return errTooLarge(fmt.Sprintf("the request exceeds %d bytes", maxBody))
		}
		return errBadRequest("read request: " + err.Error())
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errBadRequest("request is not JSON as expected: " + err.Error())
	}
	return nil
}

func readRequest(w http.ResponseWriter, r *http.Request) (
	req request, timeout time.Duration, e *Error,
) {
	if e := readBody(w, r, &req); e != nil {
		return req, 0, e
	}
	timeout, e = parseTimeout(req.TimeoutMS)
	return req, timeout, e
}

func parseTimeout(ms int64) (time.Duration, *Error) {
	switch {
	case ms == 0:
		return defaultTimeout, nil
	case ms < 0 || ms > maxTimeout.Milliseconds():
		return 0, errBadRequest(fmt.Sprintf("timeout_ms is not between 1 and %d",
			maxTimeout.Milliseconds()))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// serveWrite carries out one kind of command: body to command, through the log, result to body.
func (s *Server) serveWrite(o operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, timeout, e := readRequest(w, r)
		if e != nil {
			s.writeError(w, e)
			return
		}
		c, e := o.command(&req)
		if e == nil {
			c.Session = kv.Session{ID: req.Session, Seq: req.Seq, Ack: req.Ack}
			e = validate(&c)
		}
		if e != nil {
			s.writeError(w, e)
			return
		}
		a := s.write(c, timeout)
		if a.err != nil {
			s.writeError(w, a.err)
			return
		}
		body := o.reply(make([]byte, 0, 64+len(a.Value)), &req, a)
		writeBody(w, http.StatusOK, append(body, '\n'))
	}
}

func validate(c *kv.Command) *Error {
	err := c.Validate()
	switch {
	case errors.Is(err, kv.ErrTooLarge):
		return errTooLarge(err.Error())
	case err != nil:
		return errBadRequest(err.Error())
	}
	return nil
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails
}

var jsonType = []string{"application/json"}

func (s *Server) writeError(w http.ResponseWriter, e *Error) {
	s.metrics.refused.add(e.Code)
	b := appendJSONString(append(make([]byte, 0, 160), `{"error":`...), e.Message)
	b = appendJSONString(append(b, `,"code":`...), e.Code)
	b = strconv.AppendBool(append(b, `,"definite":`...), e.Definite)
	if e.Leader != 0 {
		b = appendJSONString(append(b, `,"leader":`...), e.Leader.String())
	}
	writeBody(w, e.Status, append(b, "}\n"...))
}
