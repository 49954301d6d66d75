package workloads

import (
	"context"
	"sync"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// mapStore is a store that does what it should.
type mapStore struct {
	mu   sync.Mutex // guards data
	data map[string]string
}

func newMapStore() *mapStore { return &mapStore{data: map[string]string{}} }

func (*mapStore) Close() error { return nil }

func (m *mapStore) Get(_ context.Context, key string) (sut.Value, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.data[key]
	return sut.Value{Data: v, Present: ok}, nil
}

func (m *mapStore) Put(_ context.Context, key, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[key] = value
	return nil
}

func (m *mapStore) CAS(_ context.Context, key, old, new string) (sut.CASResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.data[key]; !ok || v != old {
		return sut.CASResult{}, nil
	}
	m.data[key] = new
	return sut.CASResult{Swapped: true}, nil
}

// Txn knows the conditions and steps that the workloads use.
func (m *mapStore) Txn(_ context.Context, t sut.Txn) (res sut.TxnResult, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range t.If {
		v, ok := m.data[c.Key]
		if c.Exists != nil && ok != *c.Exists || c.Value != nil && (!ok || v != *c.Value) {
			return res, nil
		}
	}
	res.Succeeded = true
	for _, s := range t.Then {
		if s.Do == sut.StepPut {
			m.data[s.Key] = s.Value
		}
		v, ok := m.data[s.Key]
		res.Values = append(res.Values, sut.Value{Data: v, Present: ok})
	}
	return res, nil
}
