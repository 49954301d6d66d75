package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// shaper makes the links away from the node slow and lossy, in user space: a route sends what
// leaves for a shaped address to a TUN device of ours, an [emulator] decides its fate, and a raw
// socket sends it on. Its mark takes it past the route.
//
//	node ─ rule: no mark ─▶ table 0x5246 ─ shaped? ─▶ rcnem0 ─▶ emulator ─ mark ─▶ main table ─▶
//	                                     └ no ──────────────────────────────────▶ main table ─▶
//
// An address that is not shaped has no route, and costs nothing. Connections that are there go on.
// When the agent dies the device goes with it, and with the device the routes.
type shaper struct {
	mu     sync.Mutex // one change at a time; guards the fields below
	tun    *tun
	device netlink.Link
	shaped map[netip.Addr]wire.Link
}

const (
	shapeDevice   = "rcnem0"
	shapeMark     = 0x5246
	shapeTable    = 0x5246
	shapePriority = 100
)

func (s *shaper) handlers() map[string]handler {
	return map[string]handler{wire.OpShape: s.shape, wire.OpShaped: s.counts}
}

func (s *shaper) probe() wire.Ability {
	a := wire.Ability{Name: "slow, lossy and jammed links",
		Needs: "/dev/net/tun, policy routing, CAP_NET_ADMIN, CAP_NET_RAW"}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		a.Missing = err.Error()
	}
	return a
}

func (s *shaper) shape(_ context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.ShapeArgs](raw)
	if err != nil {
		return nil, err
	}
	for a, l := range args.To {
		if err := checkLink(a, l); err != nil {
			return nil, err
		}
	}
	if args.Seed == 0 {
		args.Seed = rand.Uint64()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tun == nil && len(args.To) == 0 {
		return wire.ShapeResult{}, nil // nothing was ever shaped
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := s.apply(args); err != nil {
		return nil, err
	}
	return s.readBack()
}

// checkLink refuses what makes no sense.
func checkLink(a netip.Addr, l wire.Link) error {
	if !a.Is4() {
		return wire.Errorf(wire.Refused, "address %v: want IPv4", a)
	}
	if l.Delay < 0 || l.Jitter < 0 {
		return wire.Errorf(wire.Refused, "link to %v: delay and jitter can not be negative", a)
	}
	for _, p := range []float64{l.Loss, l.Duplicate, l.Reorder, l.Corrupt} {
		if !(p >= 0 && p <= 1) { // also not a number
			return wire.Errorf(wire.Refused, "link to %v: fraction %v is not from 0 to 1", a, p)
		}
	}
	return nil
}

// apply tells the emulator first when links are added, and last when they are taken away, so that a
// packet that meets the device always finds its link there.
func (s *shaper) apply(args wire.ShapeArgs) error {
	s.tun.shape(args.To, args.Seed)
	for a := range args.To {
		if _, ok := s.shaped[a]; ok {
			continue
		}
		route, err := s.route(a)
		if err == nil {
			err = netlink.RouteReplace(route)
		}
		if err != nil {
			return wire.Errorf(wire.Unverified, "route %v to %s: %v", a, shapeDevice, err)
		}
		s.shaped[a] = args.To[a]
	}
	for a := range s.shaped {
		if l, ok := args.To[a]; ok {
			s.shaped[a] = l
			continue
		}
		err := netlink.RouteDel(&netlink.Route{Dst: hostNet(a), Table: shapeTable,
			LinkIndex: s.device.Attrs().Index, Scope: netlink.SCOPE_LINK})
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return wire.Errorf(wire.Unverified, "take the route of %v away: %v", a, err)
		}
		delete(s.shaped, a)
	}
	return nil
}

// route sends what leaves for a to the device, under the address that it would have had anyway.
func (s *shaper) route(a netip.Addr) (*netlink.Route, error) {
	now, err := netlink.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{Mark: shapeMark})
	if err != nil {
		return nil, err
	}
	if len(now) == 0 || now[0].Src == nil {
		return nil, fmt.Errorf("there is no route to %v", a)
	}
	return &netlink.Route{Dst: hostNet(a), Table: shapeTable, Src: now[0].Src,
		LinkIndex: s.device.Attrs().Index, Scope: netlink.SCOPE_LINK}, nil
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

// readBack proves that the kernel's routes are those that were asked for.
func (s *shaper) readBack() (wire.ShapeResult, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{Table: shapeTable}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return wire.ShapeResult{}, fmt.Errorf("read the routes: %w", err)
	}
	res := wire.ShapeResult{Installed: map[netip.Addr]wire.Link{}, Counts: s.tun.counts()}
	for _, r := range routes {
		if a, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			res.Installed[a] = s.shaped[a]
		}
	}
	if !maps.Equal(res.Installed, s.shaped) {
		return res, wire.Errorf(wire.Unverified, "asked to shape %v, the kernel has routes for %v",
			slices.Collect(maps.Keys(s.shaped)), slices.Collect(maps.Keys(res.Installed)))
	}
	return res, nil
}

func (s *shaper) counts(context.Context, json.RawMessage) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tun == nil {
		return wire.ShapeResult{}, nil
	}
	return s.readBack()
}

// open makes device and rule, on first use.
func (s *shaper) open() error {
	if s.tun != nil {
		return nil
	}
	t, err := openTUN(shapeDevice, shapeMark)
	if err != nil {
		return wire.Errorf(wire.Unable, "open a TUN device: %v", err)
	}
	dev, err := setUp(shapeDevice)
	if err != nil {
		t.close()
		return wire.Errorf(wire.Unable, "set device %s up: %v", shapeDevice, err)
	}
	if err := netlink.RuleAdd(shapeRule()); err != nil && !errors.Is(err, os.ErrExist) {
		t.close()
		return wire.Errorf(wire.Unable, "add the routing rule: %v", err)
	}
	s.tun, s.device, s.shaped = t, dev, map[netip.Addr]wire.Link{}
	return nil
}

// setUp gives the device the size of the others' packets and a queue that does not lose any.
func setUp(name string) (netlink.Link, error) {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	mtu := 1500
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Type() == "veth" {
			mtu = l.Attrs().MTU
		}
	}
	err = errors.Join(netlink.LinkSetMTU(dev, mtu), netlink.LinkSetTxQLen(dev, maxWaiting))
	if err == nil {
		err = netlink.LinkSetUp(dev)
	}
	return dev, err
}

// shapeRule sends what has no mark of ours to the table of shaped links.
func shapeRule() *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table = netlink.FAMILY_V4, shapePriority, shapeTable
	r.Mark, r.Invert = shapeMark, true
	return r
}

// close takes rule and device away, and the routes with them. What waits is lost.
func (s *shaper) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tun == nil {
		return nil
	}
	err := netlink.RuleDel(shapeRule())
	if err != nil {
		err = fmt.Errorf("remove the routing rule: %w", err)
	}
	s.tun.close()
	s.tun = nil
	return err
}
