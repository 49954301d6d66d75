// Package kv is the replicated state machine: keys with values and versions. It is deterministic:
// it has no clock, no randomness and no map order in anything that it says, so machines that apply
// the same entries hold the same state, give the same answers and have the same [Machine.Digest].
//
// A key's version is the index of the log entry that changed it last, so a version never comes
// twice, and whoever compares versions cannot be fooled by a value that came back.
package kv

// Item is what stands under a key.
type Item struct {
	Value   string
	Version uint64
}

// Code says why a command that is in the log changed nothing, in the words of the client API.
type Code string

// The codes; zero means that the command was carried out.
const (
	CodeUnsupported Code = "unsupported" // from a newer version of this program
	CodeTooLarge    Code = "too_large"   // the value would have grown too large
)

// Result answers a command. Everything in it is decided by the log alone.
type Result struct {
	Code    Code
	Done    bool   // cas: swapped; delete: something was deleted
	Found   bool   // get, cas that did not swap: something stands there
	Value   string // append: the new value; get, cas that did not swap: what stands there
	Version uint64 // of the item after the command
}

// Machine is the state. One goroutine owns it.
type Machine struct {
	items   map[string]Item
	applied uint64
	digest  uint64
}

// New returns an empty machine.
func New() *Machine { return &Machine{items: map[string]Item{}} }

// Applied is the index of the last entry applied.
func (m *Machine) Applied() uint64 { return m.applied }

// Len is the number of keys.
func (m *Machine) Len() int { return len(m.items) }

// Get reads a key.
func (m *Machine) Get(key string) (Item, bool) {
	item, ok := m.items[key]
	return item, ok
}

// Skip notes that the entry at index was none for the state machine.
func (m *Machine) Skip(index uint64) { m.applied = index }

// Apply carries out the command of the entry at index. Indices only grow. A command that it does not
// know changes nothing, and says so: it never guesses and never panics, since every node must come
// to the same end.
func (m *Machine) Apply(index uint64, data []byte) Result {
	m.applied = index
	c, err := Decode(data)
	if err != nil {
		return Result{Code: CodeUnsupported}
	}
	old, found := m.items[c.Key]
	switch c.Op {
	case OpPut:
		m.set(c.Key, old, found, Item{c.Value, index})
		return Result{Done: true, Version: index}
	case OpCAS:
		if found == c.OldAbsent || found && old.Value != c.Old {
			return Result{Found: found, Value: old.Value, Version: old.Version}
		}
		m.set(c.Key, old, found, Item{c.Value, index})
		return Result{Done: true, Version: index}
	case OpDelete:
		if found {
			m.digest -= itemHash(c.Key, old)
			delete(m.items, c.Key)
		}
		return Result{Done: found}
	case OpAppend:
		if len(old.Value)+len(c.Value) > MaxValue {
			return Result{Code: CodeTooLarge, Version: old.Version}
		}
		item := Item{old.Value + c.Value, index}
		m.set(c.Key, old, found, item)
		return Result{Done: true, Value: item.Value, Version: index}
	case OpGet:
		return Result{Done: true, Found: found, Value: old.Value, Version: old.Version}
	}
	return Result{Code: CodeUnsupported}
}

func (m *Machine) set(key string, old Item, found bool, item Item) {
	if found {
		m.digest -= itemHash(key, old)
	}
	m.digest += itemHash(key, item)
	m.items[key] = item
}
