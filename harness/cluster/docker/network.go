package docker

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"strings"

	"github.com/docker/docker/api/types/network"
)

// Addresses within the /24 of a run: the gateway is 1, drivers are 2 to 9, nodes begin at 11.
const (
	firstDriver = 2
	maxDrivers  = 8
	firstNode   = 11
	maxNodes    = 200
)

// createNetwork makes the private network of a run on a /24 of our own. Rules are made by address,
// so addresses must be fixed, and for that the subnet must be chosen here. Two runs begin to search
// at different places, and walk on where an address is taken.
func (e *Engine) createNetwork(ctx context.Context, name, run string, keep bool,
) (netip.Prefix, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(run))
	begin := int(h.Sum32() % 256)
	var err error
	for i := range 256 {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 83, byte(begin + i), 0}), 24)
		if inUseHere(subnet) {
			continue
		}
		_, err = e.cli.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge",
			Labels: labels(run, "", "network", keep),
			IPAM: &network.IPAM{Config: []network.IPAMConfig{{
				Subnet: subnet.String(), Gateway: hostOf(subnet, 1).String()}}},
		})
		if err == nil {
			return subnet, nil
		}
		if !strings.Contains(err.Error(), "Pool overlaps") {
			break
		}
	}
	if err == nil {
		err = fmt.Errorf("every /24 of 10.83.0.0/16 is in use")
	}
	return netip.Prefix{}, fmt.Errorf("create network %s: %w", name, err)
}

// inUseHere says whether this machine has an address in the subnet; the engine does not look.
func inUseHere(subnet netip.Prefix) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(subnet) {
			return true
		}
	}
	return false
}

// hostOf is the nth address of a /24.
func hostOf(subnet netip.Prefix, n int) netip.Addr {
	a := subnet.Addr().As4()
	a[3] = byte(n)
	return netip.AddrFrom4(a)
}

// clientsOf are the addresses that clients have: the drivers, those too that are still to come, and
// whatever comes through the network's gateway.
func clientsOf(subnet netip.Prefix) []netip.Addr {
	addrs := []netip.Addr{hostOf(subnet, 1)}
	for i := range maxDrivers {
		addrs = append(addrs, hostOf(subnet, firstDriver+i))
	}
	return addrs
}
