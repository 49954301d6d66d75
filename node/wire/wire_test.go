package wire

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/raftcheck/raftcheck/node/kv"
)

// TestAnswersComeBackAsTheyWere: results and errors survive the way over the wire.
func TestAnswersComeBackAsTheyWere(t *testing.T) {
	want := kv.Result{Done: true, Found: true, Value: "v\x00", Version: 1 << 60,
		Steps: []kv.Result{{Code: kv.CodeTooLarge, Version: 3}}}
	refusal := &Error{HTTP: 503, Code: "not_leader", Message: "ask n2", Definite: true, Leader: 2}
	stream := AppendError(AppendResult(nil, 7, &want), 8, refusal)
	r := bufio.NewReader(bytes.NewReader(stream))
	id, tag, body, err := ReadFrame(r)
	got, derr := DecodeResponse(tag, body)
	if diff := cmp.Diff(want, got); id != 7 || err != nil || derr != nil || diff != "" {
		t.Errorf("id %d, %v, %v\n%s", id, err, derr, diff)
	}
	if !FrameBuffered(r) {
		t.Error("the second frame has been read ahead, but that is not noticed")
	}
	id, tag, body, err = ReadFrame(r)
	_, derr = DecodeResponse(tag, body)
	if diff := cmp.Diff(refusal, derr); id != 8 || err != nil || diff != "" {
		t.Errorf("id %d, %v\n%s", id, err, diff)
	}
}

// FuzzReadFrame: no bytes from a network panic, take memory that they do not fill, or are read as
// something that would be written otherwise.
func FuzzReadFrame(f *testing.F) {
	f.Add(AppendRequest(nil, 1, KindWrite, []byte("body")))
	f.Add(AppendResult(nil, 2, &kv.Result{Done: true, Value: "v"}))
	f.Add(AppendError(nil, 3, &Error{HTTP: 400, Code: "c", Message: "m", Leader: 9}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		id, tag, body, err := ReadFrame(bytes.NewReader(data))
		if err != nil {
			return
		}
		again := AppendRequest(nil, id, Kind(tag), body)
		if !bytes.Equal(again, data[:len(again)]) {
			t.Errorf("%x was read, %x written", data, again)
		}
		result, err := DecodeResponse(tag, body)
		if e, ok := errors.AsType[*Error](err); ok {
			_, err = DecodeResponse(byte(StatusError), AppendError(nil, id, e)[headerSize:])
			if diff := cmp.Diff(error(e), err); diff != "" {
				t.Errorf("an error changed on the way:\n%s", diff)
			}
		} else if err == nil {
			same, err := DecodeResponse(byte(StatusOK), AppendResult(nil, id, &result)[headerSize:])
			if diff := cmp.Diff(result, same); err != nil || diff != "" {
				t.Errorf("a result changed on the way: %v\n%s", err, diff)
			}
		}
	})
}
