package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/server"
	"github.com/raftcheck/raftcheck/node/wal"
)

// health asks a node whether it serves. Images from scratch have no other program to ask with.
func health(args []string, stdout, stderr io.Writer) int {
	url := "http://127.0.0.1:" + cmp.Or(os.Getenv("RAFTNODE_CLIENT_PORT"),
		fmt.Sprint(server.DefaultClientPort)) + "/healthz"
	if len(args) > 0 {
		url = args[0]
	}
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(stderr, "raftnode:", err)
		return exitFailure
	}
	defer resp.Body.Close()
	if _, err := io.Copy(stdout, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		fmt.Fprintln(stderr, "raftnode:", url, "answers", resp.Status)
		return exitFailure
	}
	return exitOK
}

// dumpLine is one record of the log, as dump --json prints it.
type dumpLine struct {
	File   string             `json:"file"`
	Offset int64              `json:"offset"`
	Seq    uint64             `json:"seq"`
	Type   string             `json:"type"`
	Index  raft.Index         `json:"index,omitempty"`
	Term   raft.Term          `json:"term,omitempty"`
	Vote   string             `json:"vote,omitempty"`
	Kind   string             `json:"kind,omitempty"`
	Data   []byte             `json:"data,omitempty"`
	Mark   *raft.SnapshotMeta `json:"mark,omitempty"`
}

// dump prints a data directory, record by record, without changing it.
func dump(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("dump", flag.ContinueOnError)
	fs.SetOutput(stderr)
	asJSON := fs.Bool("json", false, "one JSON object a line")
	if err := fs.Parse(args); err != nil || fs.NArg() != 1 {
		fmt.Fprintln(stderr, "raftnode: dump needs one directory\nhint: raftnode dump DIR")
		return exitUsage
	}
	dir := fs.Arg(0)
	if id, err := os.ReadFile(filepath.Join(dir, "identity.json")); err == nil && !*asJSON {
		fmt.Fprintf(stdout, "%s", id)
	}
	encoder := json.NewEncoder(stdout)
	owner, torn, err := wal.Scan(wal.OSDir(dir), func(p wal.Position, r wal.Record) error {
		for _, line := range describe(p, r) {
			if *asJSON {
				if err := encoder.Encode(line); err != nil {
					return err
				}
				continue
			}
			printLine(stdout, line)
		}
		return nil
	})
	if err != nil {
		fmt.Fprintln(stderr, "raftnode:", err)
		return exitCorrupt
	}
	if !*asJSON {
		fmt.Fprintf(stdout, "owner %s, incarnation %x, torn end: %v\n", owner.ID, owner.Incarnation, torn)
	}
	return exitOK
}

func describe(p wal.Position, r wal.Record) []dumpLine {
	line := dumpLine{File: p.File, Offset: p.Offset, Seq: p.Seq}
	switch {
	case r.HardState != nil:
		line.Type, line.Term, line.Vote = "hard_state", r.HardState.Term, r.HardState.Vote.String()
	case r.Snapshot != nil:
		line.Type, line.Mark = "snapshot", r.Snapshot
	case r.Reset != nil:
		line.Type, line.Mark = "reset", r.Reset
	case r.Truncate > 0:
		line.Type, line.Index = "truncate", r.Truncate
	case r.Seal > 0:
		line.Type = "seal"
	case r.Close:
		line.Type = "close"
	}
	if len(r.Entries) == 0 {
		return []dumpLine{line}
	}
	kinds := [...]string{"noop", "command", "config"}
	lines := make([]dumpLine, len(r.Entries))
	for i, e := range r.Entries {
		lines[i] = line
		lines[i].Type, lines[i].Index, lines[i].Term, lines[i].Data = "entry", e.Index, e.Term, e.Data
		lines[i].Kind = fmt.Sprint(e.Kind)
		if int(e.Kind) < len(kinds) {
			lines[i].Kind = kinds[e.Kind]
		}
	}
	return lines
}

func printLine(w io.Writer, l dumpLine) {
	fmt.Fprintf(w, "%s %8d #%d %s", l.File, l.Offset, l.Seq, l.Type)
	if l.Index > 0 {
		fmt.Fprintf(w, " index %d", l.Index)
	}
	if l.Term > 0 {
		fmt.Fprintf(w, " term %d", l.Term)
	}
	if l.Vote != "" && l.Vote != "n0" {
		fmt.Fprintf(w, " vote %s", l.Vote)
	}
	if l.Mark != nil {
		fmt.Fprintf(w, " %+v", *l.Mark)
	}
	if l.Type == "entry" {
		fmt.Fprintf(w, " %s %q", l.Kind, l.Data)
	}
	fmt.Fprintln(w)
}
