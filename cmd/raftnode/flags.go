package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/raftcheck/raftcheck/node/server"
)

// parse reads flags, and environment variables for those that are not given. done says that there
// is nothing to run; then code is the exit code.
func parse(args []string, stdout, stderr io.Writer) (cfg server.Config, code int, done bool) {
	fs := flag.NewFlagSet("raftnode", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var id, peers, voters, level string
	var clientPort, peerPort int
	fs.StringVar(&id, "id", "", "this node's `name`: n and a number from 1")
	fs.StringVar(&peers, "peers", "", "the members, itself included: `id=host,…`; "+
		"host:peerport:clientport where the ports differ")
	fs.StringVar(&voters, "voters", "",
		"those peers that vote at the first start, `id,…`; all if empty")
	fs.StringVar(&cfg.Cluster, "cluster", server.DefaultCluster, "`name` of the cluster")
	fs.StringVar(&cfg.Data, "data", "/data", "data `directory`")
	fs.StringVar(&cfg.Listen, "listen", "", "`address` to bind; all if empty")
	fs.IntVar(&clientPort, "client-port", server.DefaultClientPort, "HTTP API `port`")
	fs.IntVar(&peerPort, "peer-port", server.DefaultPeerPort, "`port` for Raft traffic")
	fs.DurationVar(&cfg.Heartbeat, "heartbeat", server.DefaultHeartbeat, "leader's heartbeat interval")
	fs.DurationVar(&cfg.ElectionTimeout, "election-timeout", server.DefaultElectionTimeout,
		"the shortest election timeout; the longest is twice that")
	fs.Int64Var(&cfg.SnapshotBytes, "snapshot-bytes", server.DefaultSnapshotBytes,
		"take a snapshot when the log has grown by so many `bytes` and twice the last one")
	fs.IntVar(&cfg.SnapshotEntries, "snapshot-entries", server.DefaultSnapshotEntries,
		"take a snapshot when the log has grown by so many `entries`")
	fs.IntVar(&cfg.KeepTail, "keep-tail", 4096,
		"keep so many `entries` before a snapshot in memory, for followers that are a little behind")
	fs.StringVar(&cfg.PeerTLS.Cert, "peer-cert", "", "`file` with this node's certificate, for TLS "+
		"between nodes; it carries the node's name as DNS name")
	fs.StringVar(&cfg.PeerTLS.Key, "peer-key", "", "`file` with its key")
	fs.StringVar(&cfg.PeerTLS.CA, "peer-ca", "", "`file` with the CA of all nodes' certificates")
	fs.BoolVar(&cfg.TraceEntries, "trace-entries", false,
		"trace each entry that is applied, with its command and the digest of the state")
	fs.BoolVar(&cfg.TraceMessages, "trace-messages", false,
		"trace every message, not only those of elections and snapshots")
	fs.BoolVar(&cfg.LeaseReads, "lease-reads", false, "let a leader answer reads without asking, "+
		"which rests on clocks; the same on all nodes")
	fs.IntVar(&cfg.MaxDriftPPM, "max-drift-ppm", 500,
		"how far a clock may be from true rate, in parts per million, with --lease-reads")
	fs.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return cfg, exitOK, true
	}
	if err == nil {
		err = fromEnvironment(fs)
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err == nil {
		err = fill(&cfg, id, peers, voters, level, peerPort, clientPort, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "raftnode: %s\nhint: raftnode --help\n",
			strings.ReplaceAll(err.Error(), "\n", "\nraftnode: "))
		return cfg, exitUsage, true
	}
	return cfg, exitOK, false
}

// fromEnvironment sets the flags that were not given from RAFTNODE_… variables.
func fromEnvironment(fs *flag.FlagSet) error {
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		name := "RAFTNODE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := os.Getenv(name); value != "" && !given[f.Name] {
			if err := fs.Set(f.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("%s=%q: %w", name, value, err))
			}
		}
	})
	return errors.Join(errs...)
}

func fill(cfg *server.Config, id, peers, voters, level string, peerPort, clientPort int,
	stdout, stderr io.Writer,
) error {
	var errs []error
	var err error
	if id == "" {
		errs = append(errs, errors.New("--id is missing"))
	} else if cfg.ID, err = server.ParseID(id); err != nil {
		errs = append(errs, err)
	}
	if peers == "" {
		errs = append(errs, errors.New("--peers is missing"))
	} else if cfg.Peers, err = server.ParsePeers(peers, peerPort, clientPort); err != nil {
		errs = append(errs, err)
	}
	if cfg.Voters, err = server.ParseIDs(voters); err != nil {
		errs = append(errs, err)
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		errs = append(errs, err)
	}
	cfg.Trace = stdout
	cfg.Log = slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: l})).With("node", id)
	if len(errs) == 0 {
		errs = append(errs, cfg.Validate())
	}
	return errors.Join(errs...)
}
