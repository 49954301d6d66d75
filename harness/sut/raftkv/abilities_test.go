package raftkv

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/sut"
)

func TestAConnectionCanDoWhatTheSystemClaims(t *testing.T) {
	conn := serve(t, answering(200, `{"session":7}`))
	view, err := conn.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range (System{}).Abilities() {
		if !sut.Can(conn, a) || !sut.Can(view, a) {
			t.Errorf("a connection, or its view, is not able to %s", a)
		}
	}
}

// script answers by path and notes what it was asked.
func script(t *testing.T, answers map[string]string) (*Conn, *[]string) {
	var asked []string
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, r.URL.Path+" "+string(body))
		answering(200, answers[r.URL.Path])(w, r)
	}), &asked
}

func TestATransactionIsSentAndUnderstood(t *testing.T) {
	conn, asked := script(t, map[string]string{"/v1/txn": `{"succeeded":true,"results":[` +
		`{"found":true,"value":"3","version":7},{"version":9},{"version":9,"value":"ab"}]}`})
	old, zero, seven := "1", uint64(0), uint64(7)
	res, err := conn.Txn(t.Context(), sut.Txn{
		If: []sut.Condition{{Key: "a", Value: &old}, {Key: "b", Version: &zero},
			{Key: "c", Version: &seven}},
		Then: []sut.Step{{Do: sut.StepGet, Key: "a"}, {Do: sut.StepPut, Key: "b", Value: "2"},
			{Do: sut.StepAppend, Key: "c", Value: "b"}},
	})
	want := sut.TxnResult{Succeeded: true, Version: 9, Values: []sut.Value{
		{Data: "3", Present: true, Version: 7}, {Version: 9}, {Data: "ab", Version: 9}}}
	if diff := cmp.Diff(want, res); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	sent := `/v1/txn {"compare":[{"key":"a","value":"1"},{"key":"b","exists":false},` +
		`{"key":"c","version":7}],"then":[{"op":"get","key":"a"},{"op":"put","key":"b",` +
		`"value":"2"},{"op":"append","key":"c","value":"b"}],"else":[]}`
	if diff := cmp.Diff([]string{sent}, *asked); diff != "" {
		t.Error(diff)
	}
}

func TestAListOfManyPagesIsReadToItsEnd(t *testing.T) {
	pages := []string{
		`{"items":[{"key":"s/1","value":"a","version":3}],"more":true}`,
		`{"items":[{"key":"s/2","value":"b","version":4}],"more":false}`,
	}
	var starts []string
	conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var req struct{ Start string }
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		starts = append(starts, req.Start)
		answering(200, pages[len(starts)-1])(w, r)
	})
	items, err := conn.Range(t.Context(), "s/")
	if err != nil || len(items) != 2 || items[1].Key != "s/2" || items[1].Data != "b" {
		t.Errorf("got %v, %v", items, err)
	}
	if diff := cmp.Diff([]string{"", "s/1\x00"}, starts); diff != "" {
		t.Error(diff)
	}
}

func TestAViewSendsTheSameIdentityAgainAndTheNextAnother(t *testing.T) {
	conn, asked := script(t, map[string]string{
		"/v1/session/open": `{"session":7}`, "/v1/increment": `{"version":5,"value":"12"}`,
	})
	for range 2 {
		view, err := conn.Once(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			n, err := view.(sut.Incrementer).Increment(t.Context(), "c", 1)
			if n != 12 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		}
	}
	first := `/v1/increment {"ack":1,"delta":1,"key":"c","seq":1,"session":7}`
	second := `/v1/increment {"ack":2,"delta":1,"key":"c","seq":2,"session":7}`
	want := []string{"/v1/session/open {}", first, first, second, second}
	if diff := cmp.Diff(want, *asked); diff != "" {
		t.Error(diff)
	}
}
