package harness

import (
	"testing"

	"github.com/raftcheck/raftcheck/harness/sut"
)

func TestAClusterIsSettledWhenAllThatItTellsAgrees(t *testing.T) {
	type statuses = map[sut.NodeID]sut.Status
	for _, c := range []struct {
		name             string
		all              statuses
		leaderless       bool
		agree, quiescent bool
	}{
		{"all know the same leader", statuses{
			"n1": {Leader: "n1", Term: 2}, "n2": {Leader: "n1", Term: 2}},
			false, true, true},
		{"one has applied less", statuses{"n1": {Leader: "n1", Applied: 5, Commit: 5},
			"n2": {Leader: "n1", Applied: 4, Commit: 5}}, false, true, false},
		{"one knows another", statuses{"n1": {Leader: "n1"}, "n2": {Leader: "n2"}}, false, false, false},
		{"one is silent", statuses{"n1": {Leader: "n1"}}, false, false, false},
		{"nobody knows a leader", statuses{"n1": {}, "n2": {}}, false, false, false},
		{"nobody ever tells one", statuses{"n1": {}, "n2": {}}, true, true, true},
		{"of those who never tell one is silent", statuses{"n1": {}}, true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			agree, quiescent := settled(c.all, 2, c.leaderless)
			if agree != c.agree || quiescent != c.quiescent {
				t.Errorf("got %v %v, want %v %v", agree, quiescent, c.agree, c.quiescent)
			}
		})
	}
}
