package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// firewall cuts links: what arrives from an address in a set is dropped. The rules stand once and
// for all in a table of our own; a fault is only a change of the sets, one atomic batch.
//
//	table ip raftcheck {
//	  set cut     { type ipv4_addr }            # loses every packet
//	  set data    { type ipv4_addr }            # loses new connections and data
//	  set counted { type ipv4_addr; counter }   # everyone who ever lost, so that counts only grow
//	  chain in { type filter hook input priority -150
//	    ip saddr @cut                                            ip saddr @counted drop
//	    ip saddr @data tcp flags & (syn|ack) == syn              ip saddr @counted drop
//	    ip saddr @data tcp flags & psh != 0                      ip saddr @counted drop
//	    ip saddr @data meta l4proto tcp ip length > 80           ip saddr @counted drop
//	    ip saddr @data meta l4proto != tcp                       ip saddr @counted drop }
//	}
//
// The look-up in counted is what counts; whoever is in another set is there too. IPv4 and TCP
// headers take 80 bytes at the most, so what is longer carries data, and what is shorter carries
// some only with PSH.
//
// An edge is cut at its receiver only. A drop at the sender's output would make send(2) fail, which
// tells the node what no real network would.
type firewall struct {
	mu      sync.Mutex // guards everything below; netlink batches must not mix
	conn    *nftables.Conn
	table   *nftables.Table
	cut     *nftables.Set
	data    *nftables.Set
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := checkAddrs(args.From, args.Data); err != nil {
		return nil, err
	}
	if f.conn == nil && len(args.From)+len(args.Data) == 0 {
		return wire.CutResult{Installed: []netip.Addr{}}, nil // nothing was ever cut
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	for _, change := range []struct {
		set  *nftables.Set
		want []netip.Addr
	}{{f.cut, args.From}, {f.data, args.Data}} {
		f.conn.FlushSet(change.set)
		if len(change.want) == 0 {
			continue
		}
		elems := elements(change.want)
		err := errors.Join(f.conn.SetAddElements(f.counted, elems),
			f.conn.SetAddElements(change.set, elems))
		if err != nil {
			return nil, fmt.Errorf("fill set %s: %w", change.set.Name, err)
		}
	}
	if err := f.conn.Flush(); err != nil {
		return nil, wire.Errorf(wire.Unable, "change the cut to %+v: %v", args, err)
	}
	return f.proof(args)
}

// proof reads back what the kernel holds.
func (f *firewall) proof(args wire.CutArgs) (res wire.CutResult, err error) {
	if res.Installed, err = f.readBack(f.cut, args.From); err != nil {
		return res, err
	}
	if res.Data, err = f.readBack(f.data, args.Data); err != nil {
		return res, err
	}
	res.Dropped, err = f.counts()
	return res, err
}

// readBack reads a set, and says if it is not what was asked for.
func (f *firewall) readBack(set *nftables.Set, want []netip.Addr) ([]netip.Addr, error) {
	elems, err := f.conn.GetSetElements(set)
	if err != nil {
		return nil, fmt.Errorf("read set %s: %w", set.Name, err)
	}
	got := []netip.Addr{}
	for _, e := range elems {
		if a, ok := netip.AddrFromSlice(e.Key); ok {
			got = append(got, a)
		}
	}
	slices.SortFunc(got, netip.Addr.Compare)
	want = slices.Clone(want)
	slices.SortFunc(want, netip.Addr.Compare)
	if !slices.Equal(got, slices.Compact(want)) {
		return got, wire.Errorf(wire.Unverified, "asked for %v in set %s, the kernel holds %v",
			want, set.Name, got)
	}
	return got, nil
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
	newSet := func(name string, counter bool) *nftables.Set {
		return &nftables.Set{Table: t, Name: name, KeyType: nftables.TypeIPAddr,
			KeyByteOrder: binaryutil.BigEndian, Counter: counter}
	}
	cut, data, counted := newSet("cut", false), newSet("data", false), newSet("counted", true)
	for _, s := range []*nftables.Set{cut, data, counted} {
		if err := conn.AddSet(s, nil); err != nil {
			return fmt.Errorf("add set %s: %w", s.Name, err)
		}
	}
	priority := nftables.ChainPriority(-150) // before the filter of the image, if it has one
	in := conn.AddChain(&nftables.Chain{Table: t, Name: "in", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: &priority})
	for _, match := range append([][]expr.Any{{lookup(cut)}}, carriesData(lookup(data))...) {
		exprs := slices.Concat([]expr.Any{source()}, match,
			[]expr.Any{source(), lookup(counted), &expr.Verdict{Kind: expr.VerdictDrop}})
		conn.AddRule(&nftables.Rule{Table: t, Chain: in, Exprs: exprs})
	}
	if err := conn.Flush(); err != nil {
		_ = conn.CloseLasting()
		return wire.Errorf(wire.Unable, "make nftables table %s: %v", tableName, err)
	}
	f.conn, f.table, f.cut, f.data, f.counted = conn, t, cut, data, counted
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

// carriesData are the rules that match what carries data or opens a connection, each behind from.
func carriesData(from expr.Any) [][]expr.Any {
	const syn, psh, ack = 0x02, 0x08, 0x10
	l4 := func(op expr.CmpOp) []expr.Any {
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: op, Register: 1, Data: []byte{unix.IPPROTO_TCP}}}
	}
	flags := func(mask byte, op expr.CmpOp, value byte) []expr.Any {
		return append(l4(expr.CmpOpEq),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{mask},
				Xor: []byte{0}},
			&expr.Cmp{Op: op, Register: 1, Data: []byte{value}})
	}
	long := append(l4(expr.CmpOpEq),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: binaryutil.BigEndian.PutUint16(80)})
	var rules [][]expr.Any
	for _, match := range [][]expr.Any{flags(syn|ack, expr.CmpOpEq, syn),
		flags(psh, expr.CmpOpNeq, 0), long, l4(expr.CmpOpNeq)} {
		rules = append(rules, append([]expr.Any{from}, match...))
	}
	return rules
}

// checkAddrs refuses what can not be in a set.
func checkAddrs(lists ...[]netip.Addr) error {
	for _, a := range slices.Concat(lists...) {
		if !a.Is4() {
			return wire.Errorf(wire.Refused, "address %v: want IPv4", a)
		}
	}
	return nil
}

// elements are the addresses, each once.
func elements(addrs []netip.Addr) []nftables.SetElement {
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, netip.Addr.Compare)
	var elems []nftables.SetElement
	for _, a := range slices.Compact(addrs) {
		elems = append(elems, nftables.SetElement{Key: a.AsSlice()})
	}
	return elems
}
