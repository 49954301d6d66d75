package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// NodeHealth says whether a node died without having been killed, panicked, or reported a data
// race. It reads what was observed of the processes, and the nodes' logs.
type NodeHealth struct{}

// Name implements [Checker].
func (NodeHealth) Name() string { return "node-health" }

// killedCode is the exit code of a process that SIGKILL ended.
const killedCode = 128 + 9

// maxAlarms bounds how many lines of one log become findings.
const maxAlarms = 5

// Check implements [Checker].
func (NodeHealth) Check(ctx context.Context, in *Input) Result {
	const property = "no node died by itself, panicked or raced"
	res := Result{Property: property}
	exits := observed(in.History, "exit")
	excused := map[string]int{} // by node, ends on a broken disk: its last words may be a panic
	for _, s := range exits {
		if s.Asked && s.Code != killedCode {
			excused[s.op.Node]++
		}
		if s.Asked || s.OOM && starved(in.History, s) {
			continue
		}
		text := fmt.Sprintf("The process of %s ended at %s with exit code %d, and no fault was to "+
			"do that.", s.op.Node, at(s.op.Time), s.Code)
		if s.OOM {
			text += " It had run out of memory."
		}
		res.Findings = append(res.Findings, Finding{
			Class: "node died", Node: s.op.Node, Text: text,
			Ops: []int64{s.op.Index}, Time: s.op.Time,
		})
	}
	var unread []string
	read := 0
	for _, node := range in.Promises.Nodes {
		if in.Dir == nil {
			break
		}
		alarms, err := scanLog(ctx, in.Dir, node)
		alarms = slices.DeleteFunc(alarms, func(f Finding) bool {
			if f.Class != "node panicked" || excused[node] == 0 {
				return false
			}
			excused[node]--
			return true
		})
		res.Findings = append(res.Findings, alarms...)
		if err != nil {
			unread = append(unread, err.Error())
			continue
		}
		read++
	}
	res.Summary = fmt.Sprintf("%s, %s read", count(len(exits), "exit"), count(read, "log"))
	switch {
	case len(res.Findings) > 0:
		res.Validity, res.Reason = Invalid, res.Findings[0].Text
	case len(unread) > 0:
		res.Reason = unread[0]
	case read == 0 && len(exits) == 0:
		return notObservable(property, "there are no logs, and no exit was observed")
	default:
		res.Validity = Valid
	}
	return res
}

// starved says whether a fault had taken from the node the memory for want of which it ended.
func starved(h *history.History, s seen) bool {
	return slices.ContainsFunc(h.Faults(), func(f history.Fault) bool {
		return f.Name == "memory" && slices.Contains(f.Nodes, s.op.Node) &&
			f.From-oomSlack <= s.op.Time && s.op.Time <= f.To+oomSlack
	})
}

// oomSlack is how far the word of an end may be from the word that the fault is in force.
const oomSlack = time.Second

// scanLog looks for alarms in the log of a node.
func scanLog(ctx context.Context, dir fs.FS, node string) (found []Finding, err error) {
	f, err := dir.Open(logOf(node))
	if err != nil {
		return nil, fmt.Errorf("the log of %s could not be read", node)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	in := bufio.NewReaderSize(f, 1<<16)
	begins := true // the next part begins a line
	for n := 1; len(found) < maxAlarms; {
		if err := context.Cause(ctx); err != nil {
			return found, errors.New(OutOfTime(err))
		}
		part, err := in.ReadSlice('\n')
		if class := alarm(part); begins && class != "" {
			text := bytes.TrimSpace(part)
			found = append(found, Finding{
				Class: class, Node: node,
				Text: fmt.Sprintf("%s printed in line %d of its log: %.200s", node, n, text),
			})
		}
		switch {
		case err == nil:
			begins = true
			n++
		case errors.Is(err, bufio.ErrBufferFull):
			begins = false
		case errors.Is(err, io.EOF):
			return found, nil
		default:
			return found, fmt.Errorf("the log of %s could not be read to its end", node)
		}
	}
	return found, nil
}

// alarm names what a line of a log tells of; empty if it is nothing bad.
func alarm(line []byte) string {
	line = withoutTime(line)
	switch {
	case bytes.HasPrefix(line, []byte("panic: ")):
		return "node panicked"
	case bytes.HasPrefix(line, []byte("fatal error: ")),
		bytes.HasPrefix(line, []byte("[signal SIG")):
		return "node crashed"
	case bytes.HasPrefix(line, []byte("WARNING: DATA RACE")):
		return "data race"
	}
	return ""
}

// withoutTime drops a time stamp that a container engine has put before a line.
func withoutTime(line []byte) []byte {
	stamp, rest, found := bytes.Cut(line, []byte(" "))
	if found && len(stamp) >= 20 && stamp[0] == '2' && stamp[10] == 'T' {
		return rest
	}
	return line
}
