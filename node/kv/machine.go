// Package kv is the replicated state machine: keys with values and versions, and client sessions.
// It is deterministic: it has no clock, no randomness and no map order in anything that it says, so
// machines that apply the same entries hold the same state, give the same answers and have the same
// [Machine.Digest].
//
// A key's version is the index of the log entry that changed it last, so a version never comes
// twice, and whoever compares versions cannot be fooled by a value that came back.
package kv

import (
	"strconv"
	"strings"
)

// Item is what stands under a key.
type Item struct {
	Value   string
	Version uint64
}

// Code says why a command that is in the log changed nothing, in the words of the client API.
type Code string

// The codes; zero means that the command was carried out.
const (
	CodeUnsupported    Code = "unsupported"     // from a newer version of this program
	CodeTooLarge       Code = "too_large"       // the value would have grown too large
	CodeNotANumber     Code = "not_a_number"    // increment of something else, or past 64 bits
	CodeSessionUnknown Code = "session_unknown" // never opened, closed, or expired
	CodeSeqExpired     Code = "seq_expired"     // an answer that the session has forgotten
)

// Result answers a command. Everything in it is decided by the log alone.
type Result struct {
	Code    Code
	Done    bool   // cas: swapped; delete: something was deleted; txn: the comparison held
	Found   bool   // get, cas that did not swap: something stands there
	Value   string // append, increment: the new value; get, cas that did not swap: what stands there
	Version uint64 // of the item after the command; of OpOpenSession: the session
	Steps   []Result
}

// Machine is the state. One goroutine owns it.
type Machine struct {
	items    tree
	sessions sessions
	applied  uint64
	digest   uint64
	// undo holds what a transaction has changed so far; nil outside of one.
	undo []undoStep
}

type undoStep struct {
	key   string
	old   Item
	found bool
}

// New returns an empty machine.
func New() *Machine { return &Machine{} }

// Applied is the index of the last entry applied.
func (m *Machine) Applied() uint64 { return m.applied }

// Len is the number of keys.
func (m *Machine) Len() int { return m.items.size }

// Sessions is the number of open sessions.
func (m *Machine) Sessions() int { return m.sessions.len() }

// Get reads a key.
func (m *Machine) Get(key string) (Item, bool) { return m.items.get(key) }

// Listed is a key and its item.
type Listed struct {
	Key string
	Item
}

// List returns the keys that begin with prefix and are not before start, in order, at most limit of
// them; more says that there are others.
func (m *Machine) List(prefix, start string, limit int) (list []Listed, more bool) {
	for key, item := range m.items.from(max(prefix, start)) {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if len(list) == limit {
			return list, true
		}
		list = append(list, Listed{key, item})
	}
	return list, false
}

// Skip notes that the entry at index was none for the state machine.
func (m *Machine) Skip(index uint64) { m.applied = index }

// Apply carries out the command of the entry at index. Indices only grow. A command that it does
// not know changes nothing, and says so: it never guesses and never panics, since every node must
// come to the same end.
func (m *Machine) Apply(index uint64, data []byte) Result {
	m.applied = index
	c, err := Decode(data)
	if err != nil {
		return Result{Code: CodeUnsupported}
	}
	if c.Op == OpOpenSession {
		m.openSession(index)
		return Result{Done: true, Version: index}
	}
	if c.Session.ID == 0 {
		return m.carryOut(index, &c)
	}
	return m.inSession(index, &c)
}

// carryOut does what the command says, whatever its session.
func (m *Machine) carryOut(index uint64, c *Command) Result {
	switch c.Op {
	case OpCAS:
		return m.cas(index, c)
	case OpTxn:
		return m.txn(index, c.Txn)
	case OpKeepSession, OpCloseSession:
		return Result{Done: true}
	}
	return m.step(index, Step{c.Op, c.Key, c.Value, c.Delta})
}

func (m *Machine) cas(index uint64, c *Command) Result {
	old, found := m.items.get(c.Key)
	if found == c.OldAbsent || found && old.Value != c.Old {
		return Result{Found: found, Value: old.Value, Version: old.Version}
	}
	m.set(c.Key, old, found, Item{c.Value, index})
	return Result{Done: true, Version: index}
}

// step carries out the operations that may also stand in a transaction.
func (m *Machine) step(index uint64, s Step) Result {
	old, found := m.items.get(s.Key)
	switch s.Op {
	case OpPut:
		m.set(s.Key, old, found, Item{s.Value, index})
		return Result{Done: true, Version: index}
	case OpDelete:
		if found {
			m.note(s.Key, old, found)
			m.digest -= itemHash(s.Key, old)
			m.items.delete(s.Key)
		}
		return Result{Done: found}
	case OpAppend:
		if len(old.Value)+len(s.Value) > MaxValue {
			return Result{Code: CodeTooLarge, Version: old.Version}
		}
		return m.grow(s.Key, old, found, Item{old.Value + s.Value, index})
	case OpIncrement:
		sum, ok := add(old.Value, found, s.Delta)
		if !ok {
			return Result{Code: CodeNotANumber, Version: old.Version}
		}
		return m.grow(s.Key, old, found, Item{strconv.FormatInt(sum, 10), index})
	case OpGet:
		return Result{Done: true, Found: found, Value: old.Value, Version: old.Version}
	}
	return Result{Code: CodeUnsupported}
}

// grow sets an item and answers with what it is now.
func (m *Machine) grow(key string, old Item, found bool, item Item) Result {
	m.set(key, old, found, item)
	return Result{Done: true, Value: item.Value, Version: item.Version}
}

// add adds to a decimal number; nothing counts as zero.
func add(value string, found bool, delta int64) (sum int64, ok bool) {
	if found {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, false
		}
		sum = n
	}
	if delta > 0 && sum > sum+delta || delta < 0 && sum < sum+delta {
		return 0, false // past 64 bits
	}
	return sum + delta, true
}

func (m *Machine) set(key string, old Item, found bool, item Item) {
	m.note(key, old, found)
	if found {
		m.digest -= itemHash(key, old)
	}
	m.digest += itemHash(key, item)
	m.items.set(key, item)
}

// note keeps what a transaction is about to change.
func (m *Machine) note(key string, old Item, found bool) {
	if m.undo != nil {
		m.undo = append(m.undo, undoStep{key, old, found})
	}
}

// txn carries out one of the two branches, as a whole or not at all.
func (m *Machine) txn(index uint64, t *Txn) Result {
	result := Result{Done: true}
	for _, c := range t.Compare {
		result.Done = result.Done && m.holds(c)
	}
	steps := t.Else
	if result.Done {
		steps = t.Then
	}
	m.undo = make([]undoStep, 0, len(steps))
	defer func() { m.undo = nil }()
	for _, s := range steps {
		r := m.step(index, s)
		if r.Code != "" {
			m.rollBack()
			return Result{Code: r.Code}
		}
		result.Steps = append(result.Steps, r)
	}
	return result
}

func (m *Machine) holds(c Compare) bool {
	item, found := m.items.get(c.Key)
	switch c.Target {
	case TargetValue:
		return found && item.Value == c.Value
	case TargetVersion:
		return found && item.Version == c.Version
	case TargetExists:
		return found
	case TargetAbsent:
		return !found
	}
	return false
}

// rollBack undoes what the transaction has done, last things first.
func (m *Machine) rollBack() {
	steps := m.undo
	m.undo = nil
	for i := len(steps) - 1; i >= 0; i-- {
		u := steps[i]
		if now, found := m.items.get(u.key); found {
			m.digest -= itemHash(u.key, now)
			if !u.found {
				m.items.delete(u.key)
			}
		}
		if u.found {
			m.digest += itemHash(u.key, u.old)
			m.items.set(u.key, u.old)
		}
	}
}
