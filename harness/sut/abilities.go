package sut

import (
	"context"
	"slices"
)

// Ability names something that the clients of a system can do beside what every [Conn] can. Its
// text is what a person reads in a list.
type Ability string

// The abilities, each with the interface that a Conn of a system with it implements.
const (
	AbleKV        Ability = "get/put/cas" // [KV]
	AbleDelete    Ability = "delete"      // [Deleter]
	AbleAppend    Ability = "append"      // [Appender]
	AbleIncrement Ability = "increment"   // [Incrementer]
	AbleRange     Ability = "range"       // [Ranger]
	AbleTxn       Ability = "txn"         // [Transactor]
	AbleGuard     Ability = "guarded put" // [Guarder]
	AbleRetry     Ability = "safe retry"  // [Retrier]
	AbleStale     Ability = "stale read"  // [StaleReader]
	AbleVersions  Ability = "versions"    // [VersionedWriter]; [Value.Version] is filled in
	AbleWatch     Ability = "watch"       // [Watcher]
)

// Able is a System that says what its clients can do. One that does not is a [KV], and no more.
type Able interface {
	Abilities() []Ability
}

// Abilities lists what the clients of s can do.
func Abilities(s System) []Ability {
	if able, ok := s.(Able); ok {
		return able.Abilities()
	}
	return []Ability{AbleKV}
}

// Missing lists what of needs the clients of s can not do.
func Missing(s System, needs []Ability) []Ability {
	has := Abilities(s)
	return slices.DeleteFunc(slices.Clone(needs), func(a Ability) bool {
		return slices.Contains(has, a)
	})
}

// Can says whether c implements the interface of a. Adapters are tested with it for each ability
// that they claim.
func Can(c Conn, a Ability) (ok bool) {
	switch a {
	case AbleKV:
		_, ok = c.(KV)
	case AbleDelete:
		_, ok = c.(Deleter)
	case AbleAppend:
		_, ok = c.(Appender)
	case AbleIncrement:
		_, ok = c.(Incrementer)
	case AbleRange:
		_, ok = c.(Ranger)
	case AbleTxn:
		_, ok = c.(Transactor)
	case AbleGuard:
		_, ok = c.(Guarder)
	case AbleRetry:
		_, ok = c.(Retrier)
	case AbleStale:
		_, ok = c.(StaleReader)
	case AbleVersions:
		_, ok = c.(VersionedWriter)
	case AbleWatch:
		_, ok = c.(Watcher)
	}
	return ok
}

// The errors of all methods below are as those of [KV].

// Deleter removes keys.
type Deleter interface {
	// Delete says whether the key was there.
	Delete(ctx context.Context, key string) (existed bool, err error)
}

// Appender appends to the text under a key, which is empty if the key is absent, in one step.
type Appender interface {
	Append(ctx context.Context, key, text string) error
}

// Incrementer counts.
type Incrementer interface {
	// Increment adds delta to the number under key, an absent one being 0, in one step, and
	// answers what the number is then.
	Increment(ctx context.Context, key string, delta int64) (int64, error)
}

// Ranger reads many keys.
type Ranger interface {
	// Range reads all keys that begin with prefix, in their order. It may take several requests:
	// each key is read at a moment between begin and end of the call, but not all at the same one.
	Range(ctx context.Context, prefix string) ([]Item, error)
}

// Item is a key with what stands there.
type Item struct {
	Key string
	Value
}

// Transactor carries out several steps as one.
type Transactor interface {
	// Txn carries out Then if all of If hold and Else if not. That they do not is no error. If one
	// step can not be carried out, none is.
	Txn(ctx context.Context, t Txn) (TxnResult, error)
}

// Txn is a transaction. Its steps are done in order and see what those before them did, unless the
// system can not do that: then it refuses, with a definite error, two steps on a key of which one
// writes.
type Txn struct {
	If         []Condition
	Then, Else []Step
}

// Condition is about a key. Exactly one of its other fields is set.
type Condition struct {
	Key string
	// Value: the key is there and holds this.
	Value *string
	// Version: the key has this version, see [Value.Version]; 0 for a key that is absent.
	Version *uint64
	// Exists: the key is there, or is not.
	Exists *bool
}

// Step is a part of a transaction.
type Step struct {
	Do         StepKind
	Key, Value string
}

// StepKind says what a step does.
type StepKind string

// What a step does.
const (
	StepGet    StepKind = "get"
	StepPut    StepKind = "put"
	StepDelete StepKind = "delete"
	// StepAppend is only for systems that have [AbleAppend].
	StepAppend StepKind = "append"
)

// TxnResult is the answer to a transaction that was decided.
type TxnResult struct {
	Succeeded bool
	// Values has one for each step that was carried out: for a get what it found; for the others
	// it may be empty.
	Values []Value
	// Version is that of all that the transaction changed; zero if the system does not tell.
	Version uint64
}

// Guarder writes under a guard that spans many keys: an ordinary request that keeps the system busy
// applying it, in which window some bugs live.
type Guarder interface {
	// PutGuarded writes if key is absent and all keys that begin with prefix pass a test that the
	// adapter chooses such that they do. Applied says whether it was written.
	PutGuarded(ctx context.Context, prefix, key, value string) (applied bool, err error)
}

// Retrier makes retries safe.
type Retrier interface {
	// Once makes a view of this connection, with the same abilities, whose first request has an
	// identity: sent any number of times, even after an error, it is carried out once, and each
	// time the answer is that of the first. The view is used for one request, and before the next
	// call of Once. An error means that there is no view, and nothing has happened.
	Once(ctx context.Context) (Conn, error)
}

// StaleReader reads what a node has, without asking whether that is the newest.
type StaleReader interface {
	GetStale(ctx context.Context, key string) (Value, error)
}

// VersionedWriter writes and tells the version that came of it. Versions of a key count up with
// each change of it, and a change of any key made later has a larger one.
type VersionedWriter interface {
	PutVersioned(ctx context.Context, key, value string) (version uint64, err error)
	CASVersioned(ctx context.Context, key, old, new string) (CASResult, uint64, error)
}

// Watcher is told of changes.
type Watcher interface {
	// Watch calls each for every change of a key that begins with prefix and whose version is
	// larger than after, in the order in which they come, until ctx is done, which is no error.
	// ready is called once, when the system has confirmed that it watches.
	Watch(ctx context.Context, prefix string, after uint64, ready func(), each func(Event)) error
}

// Event is a change that a [Watcher] was told of. A key that was deleted is not Present.
type Event struct {
	Item
}
