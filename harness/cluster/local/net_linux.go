package local

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const bridgeName = "raftcheck0"

// makeBridge makes the run's network in the fabric's own network namespace. In the host's one the
// host's firewall would have a say in it.
func makeBridge() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback device: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	attrs.HardwareAddr = hardware(hostOf(1))
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	addr := &netlink.Addr{IPNet: inNetwork(hostOf(1))}
	if err := netlink.AddrAdd(bridge, addr); err != nil {
		return fmt.Errorf("give the bridge its address: %w", err)
	}
	if err := errors.Join(netlink.LinkSetUp(lo), netlink.LinkSetUp(bridge)); err != nil {
		return fmt.Errorf("set the bridge up: %w", err)
	}
	return nil
}

// connect gives a process's network namespace a device eth0 on the bridge.
func connect(pid int, req request) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("open its network namespace: %w", err)
	}
	defer ns.Close()
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = "rc-"+req.Name, bridge.Attrs().Index
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: hardware(req.Addr),
		PeerNamespace: netlink.NsFd(ns)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make a pair of devices: %w", err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return err
	}
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	return setUp(inside, req.Addr, req.Nodes)
}

// setUp gives the devices of a network namespace their addresses. Everyone's hardware address
// follows from its other one and is told here: the first question for it, asked while devices come
// up, may be lost, and is repeated only a second later.
func setUp(h *netlink.Handle, at netip.Addr, nodes int) error {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	eth, err := h.LinkByName("eth0")
	if err != nil {
		return err
	}
	err = errors.Join(h.AddrAdd(eth, &netlink.Addr{IPNet: inNetwork(at)}),
		h.LinkSetUp(lo), h.LinkSetUp(eth))
	if err != nil {
		return err
	}
	for n := 1; n < firstNode+nodes; n++ {
		if n == firstDriver+maxDrivers {
			n = firstNode
		}
		peer := hostOf(n)
		if peer == at {
			continue
		}
		err := h.NeighSet(&netlink.Neigh{LinkIndex: eth.Attrs().Index, Family: unix.AF_INET,
			State: netlink.NUD_PERMANENT, IP: net.IP(peer.AsSlice()), HardwareAddr: hardware(peer)})
		if err != nil {
			return fmt.Errorf("tell it the address of %s: %w", peer, err)
		}
	}
	return nil
}

// inNetwork is an address with the mask of the run's network.
func inNetwork(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: net.IP(a.AsSlice()), Mask: net.CIDRMask(24, 32)}
}

// hardware is the hardware address that goes with an address, one that is administered locally.
func hardware(a netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x42}, a.AsSlice()...)
}
