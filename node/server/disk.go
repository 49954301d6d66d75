package server

import (
	"sync"

	"github.com/raftcheck/raftcheck/node/peer"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// disk saves what the core wants saved. It takes everything that waits at once: one write and one
// sync for all of it (group commit). Then it sends the messages that waited for that, without a
// detour through the loop, and reports.
type disk struct {
	log       *wal.Log
	transport *peer.Transport
	inbox     *inbox
	fail      func(error)

	mu      sync.Mutex // guards queue and closed
	queue   []diskJob
	closed  bool
	wake    chan struct{}
	stopped chan struct{}
}

// diskJob is a write, or messages that wait for a write before, or both.
type diskJob struct {
	ticket raft.Ticket // 0 if nobody waits for the write
	batch  wal.Batch
	send   []peer.Envelope
}

func newDisk(log *wal.Log, t *peer.Transport, in *inbox, fail func(error)) *disk {
	return &disk{
		log: log, transport: t, inbox: in, fail: fail,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
}

func (d *disk) add(j diskJob) {
	d.mu.Lock()
	d.queue = append(d.queue, j)
	d.mu.Unlock()
	signal(d.wake)
}

// run works until it is closed or the disk fails. After a failure it does and sends nothing: what
// waits for the disk waits for ever, and the node has to end.
func (d *disk) run() {
	defer close(d.stopped)
	var jobs []diskJob
	var batches []wal.Batch
	for range d.wake {
		d.mu.Lock()
		jobs, d.queue = d.queue, jobs[:0]
		closed := d.closed
		d.mu.Unlock()
		batches = batches[:0]
		var ticket raft.Ticket
		for i := range jobs {
			if !jobs[i].batch.Empty() {
				batches = append(batches, jobs[i].batch)
			}
			ticket = max(ticket, jobs[i].ticket)
		}
		if err := d.log.Save(batches...); err != nil {
			d.fail(err)
			return
		}
		for i := range jobs {
			d.transport.Send(jobs[i].send...)
		}
		if ticket > 0 {
			d.inbox.setPersisted(ticket)
		}
		clear(jobs)
		clear(batches)
		if closed {
			return
		}
	}
}

// close lets run finish what is queued, and waits for it.
func (d *disk) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	signal(d.wake)
	<-d.stopped
}
