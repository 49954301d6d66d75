package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// resetter breaks TCP connections: the kernel is told to abort the socket, idle or not, and sends a
// reset to the peer. Nothing stays that would have to be healed.
type resetter struct {
	mu sync.Mutex // one reset at a time, so that each counts its own
}

// connected says whether a socket is a connection: established, being made, or half closed. The
// numbers are those of the kernel's tcp_states.h.
func connected(state uint8) bool {
	const established, finWait2, closeWait = 1, 5, 8
	return state >= established && state <= finWait2 || state == closeWait
}

func (r *resetter) handlers() map[string]handler {
	return map[string]handler{wire.OpReset: r.reset}
}

// close has nothing to undo.
func (r *resetter) close() error { return nil }

func (r *resetter) probe() wire.Ability {
	a := wire.Ability{Name: "reset connections", Needs: "INET_DIAG_DESTROY, CAP_NET_ADMIN"}
	// The kernel says that there is no such connection, or that it can not do it at all.
	nobody := connection{netip.MustParseAddrPort("127.0.0.1:1"),
		netip.MustParseAddrPort("127.0.0.1:1")}
	if err := nobody.abort(); err != nil && !errors.Is(err, unix.ENOENT) {
		a.Missing = err.Error()
	}
	return a
}

// connection names a TCP socket.
type connection struct{ local, remote netip.AddrPort }

func (c connection) abort() error {
	return netlink.SocketDestroy(net.TCPAddrFromAddrPort(c.local), net.TCPAddrFromAddrPort(c.remote))
}

// resetTimeout bounds the wait for aborted connections to be gone.
const resetTimeout = time.Second

func (r *resetter) reset(ctx context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.ResetArgs](raw)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	found, err := connections(args.Peers)
	if err != nil {
		return nil, err
	}
	res := wire.ResetResult{Broken: map[netip.Addr]int{}}
	for _, c := range found {
		switch err := c.abort(); {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL):
			// It ended by itself, or is ending: the peer may be resetting it too.
		case err != nil:
			return res, wire.Errorf(wire.Unable, "abort %v: %v", c, err)
		default:
			res.Broken[c.remote.Addr()]++
		}
	}
	return res, mustBeGone(ctx, args.Peers, found)
}

// mustBeGone waits until none of the connections is there any more.
func mustBeGone(ctx context.Context, peers []netip.Addr, aborted []connection) error {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	for {
		now, err := connections(peers)
		if err != nil {
			return err
		}
		still := slices.DeleteFunc(now, func(c connection) bool {
			return !slices.Contains(aborted, c)
		})
		if len(still) == 0 {
			return nil
		}
		if !sleep(ctx, time.Millisecond) {
			return wire.Errorf(wire.Unverified, "aborted, and still there: %v", still)
		}
	}
}

// connections lists the TCP connections with the peers. A server that listens for both kinds of
// addresses has them under IPv6.
func connections(peers []netip.Addr) ([]connection, error) {
	var all []connection
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := netlink.SocketDiagTCP(family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("list connections: %w", err)
		}
		for _, s := range sockets {
			local, ok1 := netip.AddrFromSlice(s.ID.Source)
			remote, ok2 := netip.AddrFromSlice(s.ID.Destination)
			local, remote = local.Unmap(), remote.Unmap()
			if ok1 && ok2 && connected(s.State) && slices.Contains(peers, remote) {
				all = append(all, connection{netip.AddrPortFrom(local, s.ID.SourcePort),
					netip.AddrPortFrom(remote, s.ID.DestinationPort)})
			}
		}
	}
	return all, nil
}
