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
	TimeoutMS int64   `json:"timeout_ms"`
}

// handler is the HTTP side of the server.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/get", s.serveGet)
	mux.HandleFunc("POST /v1/put", s.serveWrite(putCommand, putReply))
	mux.HandleFunc("POST /v1/cas", s.serveWrite(casCommand, casReply))
	mux.HandleFunc("POST /v1/delete", s.serveWrite(deleteCommand, deleteReply))
	mux.HandleFunc("POST /v1/append", s.serveWrite(appendCommand, appendReply))
	mux.HandleFunc("GET /v1/status", s.serveStatus)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeBody(w, http.StatusOK, []byte("{\"ok\":true}\n"))
	})
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, errBadRequest(fmt.Sprintf("no operation %s %s", r.Method, r.URL.Path)))
	})
	return mux
}

func readRequest(w http.ResponseWriter, r *http.Request) (req request, timeout time.Duration, e *Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return req, 0, errTooLarge(fmt.Sprintf("the request exceeds %d bytes", maxBody))
		}
		return req, 0, errBadRequest("read request: " + err.Error())
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return req, 0, errBadRequest("request is not JSON as expected: " + err.Error())
	}
	if req.Key == nil {
		return req, 0, errBadRequest("no key")
	}
	switch timeout = time.Duration(req.TimeoutMS) * time.Millisecond; {
	case req.TimeoutMS == 0:
		timeout = defaultTimeout
	case req.TimeoutMS < 0 || req.TimeoutMS > maxTimeout.Milliseconds():
		return req, 0, errBadRequest(fmt.Sprintf("timeout_ms is not between 1 and %d",
			maxTimeout.Milliseconds()))
	}
	return req, timeout, nil
}

// serveWrite carries out one kind of command: body to command, through the log, result to body.
func (s *Server) serveWrite(
	command func(request) (kv.Command, *Error), reply func([]byte, answer) []byte,
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, timeout, e := readRequest(w, r)
		if e != nil {
			writeError(w, e)
			return
		}
		c, e := command(req)
		if e == nil {
			e = validate(&c)
		}
		if e != nil {
			writeError(w, e)
			return
		}
		a := s.Write(c, timeout)
		if a.err == nil {
			a.err = resultError(a.Result)
		}
		if a.err != nil {
			writeError(w, a.err)
			return
		}
		writeBody(w, http.StatusOK, append(reply(make([]byte, 0, 64+len(a.Value)), a), '\n'))
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

// resultError turns what the state machine refused into an error. The log decided it: the command
// had no effect and never will have.
func resultError(r kv.Result) *Error {
	switch r.Code {
	case "":
		return nil
	case kv.CodeTooLarge:
		return errTooLarge(fmt.Sprintf("the value would exceed %d bytes", kv.MaxValue))
	}
	return errBadRequest("the state machine refused: " + string(r.Code))
}

func putCommand(r request) (kv.Command, *Error) {
	if r.Value == nil {
		return kv.Command{}, errBadRequest("no value")
	}
	return kv.Command{Op: kv.OpPut, Key: *r.Key, Value: *r.Value}, nil
}

func putReply(b []byte, a answer) []byte {
	b = strconv.AppendUint(append(b, `{"version":`...), a.Version, 10)
	return append(b, '}')
}

func casCommand(r request) (kv.Command, *Error) {
	if r.New == nil {
		return kv.Command{}, errBadRequest("no new value")
	}
	c := kv.Command{Op: kv.OpCAS, Key: *r.Key, Value: *r.New, OldAbsent: r.Old == nil}
	if r.Old != nil {
		c.Old = *r.Old
	}
	return c, nil
}

func casReply(b []byte, a answer) []byte {
	b = strconv.AppendBool(append(b, `{"swapped":`...), a.Done)
	if !a.Done {
		b = strconv.AppendBool(append(b, `,"found":`...), a.Found)
		b = appendJSONString(append(b, `,"value":`...), a.Value)
	}
	b = strconv.AppendUint(append(b, `,"version":`...), a.Version, 10)
	return append(b, '}')
}

func deleteCommand(r request) (kv.Command, *Error) {
	return kv.Command{Op: kv.OpDelete, Key: *r.Key}, nil
}

func deleteReply(b []byte, a answer) []byte {
	return append(strconv.AppendBool(append(b, `{"deleted":`...), a.Done), '}')
}

func appendCommand(r request) (kv.Command, *Error) {
	if r.Value == nil {
		return kv.Command{}, errBadRequest("no value")
	}
	return kv.Command{Op: kv.OpAppend, Key: *r.Key, Value: *r.Value}, nil
}

func appendReply(b []byte, a answer) []byte {
	b = strconv.AppendUint(append(b, `{"version":`...), a.Version, 10)
	return append(appendJSONString(append(b, `,"value":`...), a.Value), '}')
}

func (s *Server) serveGet(w http.ResponseWriter, r *http.Request) {
	req, timeout, e := readRequest(w, r)
	if e == nil {
		e = validate(&kv.Command{Op: kv.OpGet, Key: *req.Key})
	}
	if e != nil {
		writeError(w, e)
		return
	}
	a := s.Read(*req.Key, timeout)
	if a.err != nil {
		writeError(w, a.err)
		return
	}
	b := strconv.AppendBool(append(make([]byte, 0, 64+len(a.Value)), `{"found":`...), a.Found)
	b = appendJSONString(append(b, `,"value":`...), a.Value)
	b = strconv.AppendUint(append(b, `,"version":`...), a.Version, 10)
	writeBody(w, http.StatusOK, append(b, "}\n"...))
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails
}

var jsonType = []string{"application/json"}

func writeError(w http.ResponseWriter, e *Error) {
	b := appendJSONString(append(make([]byte, 0, 160), `{"error":`...), e.Message)
	b = appendJSONString(append(b, `,"code":`...), e.Code)
	b = strconv.AppendBool(append(b, `,"definite":`...), e.Definite)
	if e.Leader != 0 {
		b = appendJSONString(append(b, `,"leader":`...), e.Leader.String())
	}
	writeBody(w, e.Status, append(b, "}\n"...))
}
