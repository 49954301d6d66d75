package simulator

import (
	"bytes"
	"time"

	"github.com/raftcheck/raftcheck/node/snapshot"
)

// line is a connection between two snapshot stores without a goroutine: the other side answers when
// its answer is read for the first time. It ends after limit bytes of it.
type line struct {
	serve  func(snapshot.Conn) error
	asked  bytes.Buffer
	answer bytes.Buffer
	limit  int
	served bool
}

// Write takes the request.
func (l *line) Write(p []byte) (int, error) { return l.asked.Write(p) }

// Read returns the answer, up to the limit.
func (l *line) Read(p []byte) (int, error) {
	if !l.served {
		l.served = true
		if err := l.serve(farEnd{l}); err != nil {
			return 0, err
		}
		l.answer.Truncate(min(l.limit, l.answer.Len()))
	}
	return l.answer.Read(p)
}

// SetDeadline does nothing: in virtual time a transfer takes none.
func (l *line) SetDeadline(time.Time) error { return nil }

// farEnd is the line as the serving side sees it.
type farEnd struct{ l *line }

func (f farEnd) Read(p []byte) (int, error)  { return f.l.asked.Read(p) }
func (f farEnd) Write(p []byte) (int, error) { return f.l.answer.Write(p) }
func (f farEnd) SetDeadline(time.Time) error { return nil }
