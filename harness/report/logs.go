package report

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
)

// logTail is how much of the end of a node's log is shown, in bytes.
const logTail = 16 << 10

// nodeLog is the end of one node's log.
type nodeLog struct {
	Node, Text string
	// Cut is how many bytes before it are not shown.
	Cut int64
}

// readLogs reads the ends of the nodes' logs. A log that can not be read is told of in its place:
// it is the checkers' business to judge that it is missing.
func readLogs(dir fs.FS, nodes []string) (logs []nodeLog) {
	if dir == nil {
		return nil
	}
	for _, node := range nodes {
		text, cut, err := tail(dir, path.Join("nodes", node+".log"))
		if err != nil {
			text = "(" + err.Error() + ")"
		}
		logs = append(logs, nodeLog{Node: node, Text: text, Cut: cut})
	}
	return logs
}

// tail reads the last lines of a file, whole ones.
func tail(dir fs.FS, name string) (text string, cut int64, err error) {
	f, err := dir.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	if cut = max(info.Size()-logTail, 0); cut > 0 {
		s, ok := f.(io.Seeker)
		if !ok {
			return "", 0, errors.New(name + " is too long to be shown")
		}
		if _, err := s.Seek(cut, io.SeekStart); err != nil {
			return "", 0, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, logTail))
	if err != nil {
		return "", 0, err
	}
	text = strings.ToValidUTF8(string(b), "?")
	if cut > 0 {
		_, rest, _ := strings.Cut(text, "\n")
		cut += int64(len(text) - len(rest))
		text = rest
	}
	return text, cut, nil
}
