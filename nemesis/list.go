package nemesis

import "slices"

// Faults lists all faults, those of a family together.
func Faults() []Fault {
	return slices.Concat(partitions(), processes(), networks(), clockFaults(), disks(), resources(),
		memberships(), reactions())
}

func partitions() []Fault {
	return []Fault{
		partition{name: "partition-leader", doc: "the leader can talk to nobody",
			min: 2, targets: []Target{Leader}, cut: isolate, wide: true},
		partition{name: "partition-minority", doc: "the leader is left with a minority",
			min: 5, targets: []Target{LeaderMinority}, cut: isolate, wide: true},
		partition{name: "partition-halves",
			doc: "a minority and a majority can not talk to each other",
			min: 3, targets: []Target{Minority}, cut: isolate, wide: true},
		partition{name: "partition-majority",
			doc: "the leader is left with a majority, without the others",
			min: 3, targets: []Target{FollowerMinority}, cut: isolate, wide: true},
		partition{name: "partition-ring",
			doc: "every node sees a majority, and no two see the same one",
			min: 4, targets: []Target{All}, cut: majorityRing},
		partition{name: "partition-bridge",
			doc: "two halves can talk to one node between them, and not to each other",
			min: 3, targets: []Target{Leader, Follower}, cut: bridge},
		partition{name: "partition-oneway",
			doc: "the target can speak and not hear, or hear and not speak",
			min: 2, targets: []Target{Leader, Leader, Follower}, cut: oneWay, wide: true, ways: true},
		partition{name: "partition-data", doc: "the target hears everybody, but nobody hears " +
			"what it says; acknowledgements of TCP pass",
			min: 2, targets: []Target{Leader, Follower}, cut: mute, wide: true, data: true},
		clientCut{},
	}
}

func processes() []Fault {
	some := []Target{Leader, Leader, Follower, Minority}
	return []Fault{
		pause{},
		kill{"kill", "the process is killed, and started again on its disk", append(some, All)},
		kill{"kill-all", "all processes are killed at once", []Target{All}},
		killLoop(), freeze{}, slowPause{},
	}
}

func networks() []Fault {
	return []Fault{
		network{name: "network-slow", doc: "packets take 20 to 400 ms longer, and vary",
			targets: []Target{Leader, Follower, All}, draw: slow, keys: []string{"delay", "jitter"}},
		network{name: "network-loss", doc: "5 to 40 % of packets are lost",
			targets: []Target{Leader, Minority, All}, draw: lossy, keys: []string{"loss"}},
		network{name: "network-rate", doc: "links carry 64 to 512 kbit/s",
			targets: []Target{Leader, Follower, All}, draw: thin, keys: []string{"rate"}},
		network{name: "network-jam", doc: "packets are held back, and arrive late, all at once",
			targets: []Target{Leader, Follower}, draw: jammed},
		network{name: "network-chaos",
			doc:     "packets are late, lost, doubled and overtaken, all at once",
			targets: []Target{Leader, Follower, All}, draw: chaotic,
			keys: []string{"delay", "jitter", "loss", "duplicate", "reorder"}},
		flap(), reset{},
	}
}

func clockFaults() []Fault {
	return []Fault{
		clock{name: "clock-jump", doc: "the wall clock jumps by 0.1 s to an hour, either way",
			skew: jump, keys: []string{"offset"}},
		clock{name: "clock-rate", doc: "wall and monotonic clock go at 0.5 to 2 times their speed",
			skew: drift, keys: []string{"rate"}},
		clock{name: "clock-rate-wall", doc: "the wall clock alone goes at 0.5 to 2 times its speed",
			skew: driftWall, keys: []string{"rate"}},
		clock{name: "clock-rate-monotonic",
			doc:  "the monotonic clock alone, timers with it, goes at 0.5 to 2 times its speed",
			skew: driftMonotonic, keys: []string{"rate"}},
		clock{name: "clock-leap", doc: "the monotonic clock leaps ahead by 0.1 to 10 s, for good",
			skew: leap, keys: []string{"offset"}},
		strobe(),
	}
}

func disks() []Fault {
	return []Fault{
		power{name: "disk-power", doc: "the power fails: what was not synced is lost"},
		power{name: "disk-torn", doc: "the power fails in the middle of a write, and tears it",
			torn: true},
		sickDisk{name: "disk-eio", doc: "writes, or fsync, answer EIO; then the node is restarted",
			draw: failing, restart: true},
		sickDisk{name: "disk-full", doc: "writes answer ENOSPC", draw: full},
		sickDisk{name: "disk-slow", doc: "each fsync takes 20 to 300 ms longer", draw: slowSync},
		damage{name: "disk-flip", kind: "flip",
			doc: "a bit of a stopped node's files flips; it is started alone, and mended"},
		damage{name: "disk-truncate", kind: "truncate",
			doc: "a file of a stopped node loses its end; it is started alone, and mended"},
	}
}

// standard says whether f is part of what a run without wishes does.
func standard(f Fault) bool {
	switch f.Name() {
	case "partition-leader", "partition-minority", "partition-halves", "partition-ring",
		"partition-oneway", "pause", "kill", "reactive-leader-kill", "reactive-stale-follower":
		return true
	}
	return false
}
