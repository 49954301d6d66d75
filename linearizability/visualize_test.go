package linearizability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/raftcheck/raftcheck/harness/history"
)

func TestVisualize(t *testing.T) {
	h := script(t, "0 1-2 ok write x 5", "1 3-4 info cas x [5,6]", "2 5-6 ok read x null")
	h.Ops = append(h.Ops, history.Op{
		Process: history.Nemesis, Type: history.Info, F: "partition", Time: 1,
		Value: json.RawMessage(`{"step":1,"action":"inject","outcome":"installed","nodes":["n4"]}`),
	})
	var page bytes.Buffer
	if err := Visualize(t.Context(), h, "x", &page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"write 5", "cas 5 to 6 ?", "read = absent", "partition n4"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if err := Visualize(t.Context(), h, "y", &page); err == nil {
		t.Error("a key that there is not was shown")
	}
	var lines []string
	for i := range maxVisualized + 1 {
		lines = append(lines, fmt.Sprintf("0 %d-%d ok write x %d", 2*i+1, 2*i+2, i))
	}
	if err := Visualize(t.Context(), script(t, lines...), "x", &page); err == nil {
		t.Error("too many operations were shown")
	}
}
