package raft

import "fmt"

// disk keeps account of the writes that the driver was told to make.
//
// A leader counts itself towards a quorum only up to durable, and a completion must never count
// for entries that were replaced meanwhile: the write of (5, term 2) says nothing about (5, term
// 3), nor about a second (5, term 2) that came back later. So a truncation lowers what every
// write in flight will vouch for, and completions need no comparison of terms.
type disk struct {
	issued    Ticket
	persisted Ticket
	hard      Ticket // the last write that carried a HardState
	writes    []write
	durable   Index // the log in memory is on disk up to here
}

// write is a write in flight.
type write struct {
	ticket Ticket
	last   Index // the log will be durable up to here when it is done
}

// issue numbers a write that makes the log durable up to last.
func (d *disk) issue(last Index, hard bool) Ticket {
	d.issued++
	d.writes = append(d.writes, write{d.issued, last})
	if hard {
		d.hard = d.issued
	}
	return d.issued
}

// done takes in that everything up to t is on disk.
func (d *disk) done(t Ticket) {
	if t > d.issued {
		panic(fmt.Sprintf("raft: ticket %d persisted, only %d issued", t, d.issued))
	}
	d.persisted = max(d.persisted, t)
	k := 0
	for k < len(d.writes) && d.writes[k].ticket <= t {
		d.durable = max(d.durable, d.writes[k].last)
		k++
	}
	d.writes = d.writes[:copy(d.writes, d.writes[k:])]
}

// truncated takes in that the log was cut before i.
func (d *disk) truncated(i Index) {
	d.durable = min(d.durable, i-1)
	for k := range d.writes {
		d.writes[k].last = min(d.writes[k].last, i-1)
	}
}

// reset takes in that a durable snapshot up to i replaced the log.
func (d *disk) reset(i Index) {
	d.truncated(i + 1)
	d.durable = i
}
