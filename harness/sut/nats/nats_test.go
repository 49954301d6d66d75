package nats

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// server speaks as much of NATS's protocol as a request needs. It answers by the beginning of the
// subject: with data, or with a header if that begins with "NATS/1.0".
type server struct {
	listener net.Listener
	answers  map[string]string
	asked    chan string // each request: subject, header and data
}

const (
	silent = "silent" // an answer that never comes
	hangUp = "hang up"
)

func serve(t *testing.T, answers map[string]string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &server{l, answers, make(chan string, 100)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.talk(conn)
		}
	}()
	return s
}

func (s *server) talk(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, `INFO {"server_id":"x","version":"2.10.0","headers":true,"max_payload":1000000}`+"\r\n")
	sid := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "PING":
			fmt.Fprint(conn, "PONG\r\n")
		case f[0] == "SUB":
			sid = f[len(f)-1]
		case f[0] == "PUB" || f[0] == "HPUB":
			size, _ := strconv.Atoi(f[len(f)-1])
			data := make([]byte, size+2)
			if _, err := io.ReadFull(in, data); err != nil {
				return
			}
			s.asked <- f[1] + " " + strings.TrimSpace(string(data))
			if !s.answer(conn, f[1], f[2], sid) {
				return
			}
		}
	}
}

func (s *server) answer(conn net.Conn, subject, reply, sid string) bool {
	for begin, a := range s.answers {
		switch {
		case !strings.HasPrefix(subject, begin):
			continue
		case a == hangUp:
			return false
		case a == silent:
			return true
		case strings.HasPrefix(a, "NATS/1.0"):
			head, data, _ := strings.Cut(a, "\r\n\r\n")
			head += "\r\n\r\n"
			fmt.Fprintf(conn, "HMSG %s %s %d %d\r\n%s%s\r\n", reply, sid, len(head),
				len(head)+len(data), head, data)
		default:
			fmt.Fprintf(conn, "MSG %s %s %d\r\n%s\r\n", reply, sid, len(a), a)
		}
		return true
	}
	return true
}

func (s *server) conn(t *testing.T, direct bool) *Conn {
	t.Helper()
	c := &Conn{url: "nats://" + s.listener.Addr().String(), direct: direct}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

const noResponders = "NATS/1.0 503\r\n\r\n"

func failed(code int) string {
	return fmt.Sprintf(`{"error":{"code":400,"err_code":%d,"description":"no"}}`, code)
}

func TestWhichErrorsOfNATSAreDefinite(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		definite     bool
	}{
		{"nobody listens", noResponders, true},
		{"the key has changed", failed(10071), true},
		{"the key is about to change", failed(10164), true},
		{"the stream could not store it, which it says afterwards", failed(10077), false},
		{"the leader was lost", failed(10008), false},
		{"no answer", silent, false},
		{"the connection is closed", hangUp, false},
		{"nonsense", "?", false},
		{"an acknowledgement of nothing", "{}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := serve(t, map[string]string{prefix: c.answer}).conn(t, false)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := conn.Put(ctx, "k", "1")
			if err == nil || sut.Definite(err) != c.definite {
				t.Errorf("got %v, want definite %v", err, c.definite)
			}
		})
	}
	gone := serve(t, nil)
	_ = gone.listener.Close()
	if err := gone.conn(t, false).Put(t.Context(), "k", "1"); !sut.Definite(err) {
		t.Errorf("a node that is gone: %v", err)
	}
}

const found = `{"message":{"subject":"$KV.raftcheck.k","seq":7,"data":"MTc="}}`

func TestReadsAreReadOffTheAnswers(t *testing.T) {
	there := sut.Value{Data: "17", Present: true, Version: 7}
	for _, c := range []struct {
		name, answer string
		direct       bool
		want         sut.Value
	}{
		{"the leader has it", found, false, there},
		{"the leader has it not", failed(10037), false, sut.Value{}},
		{"there is no bucket", failed(10059), false, sut.Value{}},
		{"a replica has it", "NATS/1.0\r\nNats-Sequence: 7\r\n\r\n17", true, there},
		{"a replica has it not", "NATS/1.0 404 Message Not Found\r\n\r\n", true, sut.Value{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := serve(t, map[string]string{api: c.answer}).conn(t, c.direct)
			got, err := conn.Get(t.Context(), "k")
			if err != nil || got != c.want {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestASwapIsAWriteOfTheVersionThatWasRead(t *testing.T) {
	s := serve(t, map[string]string{api: found, prefix: `{"stream":"KV_raftcheck","seq":8}`})
	got, err := s.conn(t, false).CAS(t.Context(), "k", "17", "18")
	if err != nil || !got.Swapped {
		t.Fatalf("got %v, %v", got, err)
	}
	<-s.asked // the read
	if write := <-s.asked; !strings.Contains(write, expected+": 7") {
		t.Errorf("wrote %q", write)
	}
	got, err = s.conn(t, false).CAS(t.Context(), "k", "5", "18")
	want := sut.CASResult{Found: &sut.Value{Data: "17", Present: true, Version: 7}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	s = serve(t, map[string]string{api: failed(10077)})
	if _, err := s.conn(t, false).CAS(t.Context(), "k", "5", "18"); !sut.Definite(err) {
		t.Errorf("a read that failed has written nothing: %v", err)
	}
}

func TestTheBucketIsMadeOnceAndNeverAgain(t *testing.T) {
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := sut.Node{ID: "n1", Addr: netip.MustParseAddr("127.0.0.1")}
	answers := map[string]string{api + "STREAM.INFO": failed(10059), api + "STREAM.CREATE": "{}"}
	node := serve(t, answers)
	ask := func() (sut.Status, error) { return s.status(t.Context(), n, node.conn(t, false)) }
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "made just now") {
		t.Errorf("at first: %v", err)
	}
	answers[api+"STREAM.INFO"] = `{"cluster":{"leader":"n1","replicas":[{"current":false}]}}`
	if _, err := ask(); err == nil {
		t.Error("ready with a replica that has not caught up")
	}
	answers[api+"STREAM.INFO"] = `{"cluster":{"leader":"n1","replicas":[{"current":true}]}}`
	st, err := ask()
	if want := (sut.Status{ID: "n1", Role: "leader", Leader: "n1"}); err != nil || st != want {
		t.Errorf("got %+v, %v, want %+v", st, err, want)
	}
	for len(node.asked) > 0 {
		<-node.asked
	}
	answers[api+"STREAM.INFO"] = failed(10059)
	if _, err := ask(); err == nil {
		t.Error("a bucket that is gone has a status")
	}
	if len(node.asked) != 1 {
		t.Error("the bucket that was lost is made again")
	}
}

func TestOptionsOfNATSAreChecked(t *testing.T) {
	for _, wrong := range []map[string]string{{"reads": "x"}, {"replicas": "2"}, {"speed": "1"}} {
		if _, err := New(wrong); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
	if s, err := New(map[string]string{"reads": "direct", "replicas": "5"}); err != nil ||
		!s.direct || s.replicas != 5 {
		t.Errorf("got %+v, %v", s, err)
	}
}
