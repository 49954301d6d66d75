package local

import (
	"net/netip"
	"time"
)

// What the harness asks of the fabric, and what it hears: one JSON object in each packet of a
// sequenced socket. The streams of what is started come with the request as file descriptors.
const (
	opPod    = "pod"    // streams: input, output, errors
	opNode   = "node"   // streams: output
	opDriver = "driver" // streams: input, output, errors
)

// maxPacket bounds a request; its size is that of a command line.
const maxPacket = 256 << 10

type request struct {
	ID uint64 `json:"id"`
	Op string `json:"op"`
	// Name is that of the node or the driver, Addr its address.
	Name string     `json:"name"`
	Addr netip.Addr `json:"addr,omitzero"`
	// Nodes is how many addresses of nodes there are.
	Nodes int `json:"nodes,omitempty"`
	// Argv is what is executed, Env its whole environment.
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	// Program is the file that Argv[0] is executed from.
	Program string `json:"program,omitempty"`
	// Pod is for opPod.
	Pod *podSpec `json:"pod,omitempty"`
	// DataDir is where a node finds its data; empty for nowhere.
	DataDir string `json:"data_dir,omitempty"`
	// Tasks are files of control groups (version 1) that the node's process is written to before
	// it begins; Group is the directory of its control group (version 2), or empty.
	Tasks []string `json:"tasks,omitempty"`
	Group string   `json:"group,omitempty"`
}

// event is what the fabric says: the answer to the request of the same ID, or, with ID 0, that
// something ended.
type event struct {
	ID    uint64 `json:"id,omitempty"`
	Error string `json:"error,omitempty"`
	// Started is the ID of the request that started what has ended.
	Started uint64    `json:"started,omitempty"`
	At      time.Time `json:"at,omitzero"`
	// Code is its exit code; 128 and the signal if one ended it.
	Code int `json:"code"`
}

// podSpec is what a pod makes of its namespaces, see [Pod].
type podSpec struct {
	Name string `json:"name"`
	// Root is an empty directory, where the pod's root is mounted first.
	Root string `json:"root"`
	// Disk holds the node's data, and Program is its binary.
	Disk    string `json:"disk"`
	Program string `json:"program"`
	// Hosts is the text of /etc/hosts.
	Hosts string `json:"hosts"`
}

// Where things of ours are within a pod's root.
const (
	podDir     = "/raftcheck"
	podDisk    = podDir + "/disk"
	podProgram = podDir + "/node"
	// dataName is the directory on the disk that is mounted at a node's DataDir.
	dataName = "data"
)
