package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// firewall cuts links: what arrives from an address in a set is dropped. The rules stand once and
// for all in a table of our own; a fault is only a change of the set, one atomic batch.
//
//	table ip raftcheck {
//	  set cut     { type ipv4_addr }            # who is cut off now
//	  set counted { type ipv4_addr; counter }   # everyone who ever was, so that counts only grow
//	  chain in { type filter hook input priority -150
//	    ip saddr @cut ip saddr @counted drop    # the look-up in counted counts
//	    ip saddr @cut drop }
//	}
//
// An edge is cut at its receiver only. A drop at the sender's output would make send(2) fail, which
// tells the node what no real network would.
type firewall struct {
	mu      sync.Mutex // guards everything below; netlink batches must not mix
	conn    *nftables.Conn
	table   *nftables.Table
	cut     *nftables.Set
	counted *nftables.Set
}

// tableName marks the table as ours; nothing else is ever touched.
const tableName = "raftcheck"

func (f *firewall) handlers() map[string]handler {
	return map[string]handler{wire.OpCut: f.setCut, wire.OpDropped: f.dropped}
}

func (f *firewall) setCut(_ context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.CutArgs](raw)
	if err != nil {
		return nil, err
	}
	want, err := elements(args.From)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return nil, err
	}
	f.conn.FlushSet(f.cut)
	if len(want) > 0 {
		if err := f.conn.SetAddElements(f.counted, want); err != nil {
			return nil, fmt.Errorf("fill set %s: %w", f.counted.Name, err)
		}
		if err := f.conn.SetAddElements(f.cut, want); err != nil {
			return nil, fmt.Errorf("fill set %s: %w", f.cut.Name, err)
		}
	}
	if err := f.conn.Flush(); err != nil {
		return nil, wire.Errorf(wire.Unable, "change the cut to %v: %v", args.From, err)
	}
	return f.readBack(args.From)
}

// readBack proves that the kernel holds what was asked for.
func (f *firewall) readBack(want []netip.Addr) (wire.CutResult, error) {
	elems, err := f.conn.GetSetElements(f.cut)
	if err != nil {
		return wire.CutResult{}, fmt.Errorf("read set %s: %w", f.cut.Name, err)
	}
	res := wire.CutResult{Installed: []netip.Addr{}}
	for _, e := range elems {
		if a, ok := netip.AddrFromSlice(e.Key); ok {
			res.Installed = append(res.Installed, a)
		}
	}
	slices.SortFunc(res.Installed, netip.Addr.Compare)
	want = slices.Clone(want)
	slices.SortFunc(want, netip.Addr.Compare)
	if !slices.Equal(res.Installed, slices.Compact(want)) {
		return res, wire.Errorf(wire.Unverified, "asked to cut %v, the kernel holds %v",
			want, res.Installed)
	}
	res.Dropped, err = f.counts()
	return res, err
}

func (f *firewall) dropped(context.Context, json.RawMessage) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil { // nothing was ever cut
		return wire.DroppedResult{Dropped: map[netip.Addr]uint64{}}, nil
	}
	counts, err := f.counts()
	return wire.DroppedResult{Dropped: counts}, err
}

func (f *firewall) counts() (map[netip.Addr]uint64, error) {
	elems, err := f.conn.GetSetElements(f.counted)
	if err != nil {
		return nil, fmt.Errorf("read set %s: %w", f.counted.Name, err)
	}
	counts := make(map[netip.Addr]uint64, len(elems))
	for _, e := range elems {
		a, ok := netip.AddrFromSlice(e.Key)
		if !ok || e.Counter == nil {
			return nil, wire.Errorf(wire.Unable, "this kernel does not count by address")
		}
		counts[a] = e.Counter.Packets
	}
	return counts, nil
}

// open makes the table, on first use. A table that a former agent left is replaced.
func (f *firewall) open() error {
	if f.conn != nil {
		return nil
	}
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return wire.Errorf(wire.Unable, "open nftables: %v", err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
	conn.AddTable(t) // so that the delete finds one
	conn.DelTable(t)
	conn.AddTable(t)
	cut := &nftables.Set{Table: t, Name: "cut", KeyType: nftables.TypeIPAddr,
		KeyByteOrder: binaryutil.BigEndian}
	counted := &nftables.Set{Table: t, Name: "counted", KeyType: nftables.TypeIPAddr,
		KeyByteOrder: binaryutil.BigEndian, Counter: true}
	for _, s := range []*nftables.Set{cut, counted} {
		if err := conn.AddSet(s, nil); err != nil {
			return fmt.Errorf("add set %s: %w", s.Name, err)
		}
	}
	priority := nftables.ChainPriority(-150) // before the filter of the image, if it has one
	in := conn.AddChain(&nftables.Chain{Table: t, Name: "in", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: &priority})
	drop := &expr.Verdict{Kind: expr.VerdictDrop}
	conn.AddRule(&nftables.Rule{Table: t, Chain: in, Exprs: []expr.Any{
		source(), lookup(cut), lookup(counted), drop}})
	conn.AddRule(&nftables.Rule{Table: t, Chain: in, Exprs: []expr.Any{
		source(), lookup(cut), drop}})
	if err := conn.Flush(); err != nil {
		_ = conn.CloseLasting()
		return wire.Errorf(wire.Unable, "make nftables table %s: %v", tableName, err)
	}
	f.conn, f.table, f.cut, f.counted = conn, t, cut, counted
	return nil
}

// probe makes the table; empty sets cut nobody off.
func (f *firewall) probe() wire.Ability {
	a := wire.Ability{Name: "cut links", Needs: "nf_tables with sets and counters, CAP_NET_ADMIN"}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		a.Missing = err.Error()
	}
	return a
}

// close removes the table, and with it every cut.
func (f *firewall) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil {
		return nil
	}
	f.conn.DelTable(f.table)
	err := f.conn.Flush()
	_ = f.conn.CloseLasting()
	f.conn = nil
	if err != nil {
		return fmt.Errorf("remove nftables table %s: %w", tableName, err)
	}
	return nil
}

// source loads the source address of the packet into register 1.
func source() expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}
}

// lookup goes on with the rule if register 1 is in the set.
func lookup(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}
}

func elements(addrs []netip.Addr) ([]nftables.SetElement, error) {
	seen := map[netip.Addr]bool{}
	var elems []nftables.SetElement
	for _, a := range addrs {
		if !a.Is4() {
			return nil, wire.Errorf(wire.Refused, "address %v: want IPv4", a)
		}
		if !seen[a] {
			seen[a] = true
			elems = append(elems, nftables.SetElement{Key: a.AsSlice()})
		}
	}
	return elems, nil
}
