package nemesis

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Command is a line by which somebody outside drives the faults; see docs/PLANS.md.
type Command struct {
	// ID is the sender's name for a fault, "a1" say. Do is "inject" or "heal".
	ID string `json:"id"`
	Do string `json:"do"`
	// The rest is for inject.
	Fault        string         `json:"fault"`
	Target       Target         `json:"target"`
	Params       map[string]any `json:"params"`
	Seed         uint64         `json:"seed"`
	KeepMajority bool           `json:"keep_majority"`
}

// answer is what is said to a [Command], or of the run as a whole.
type answer struct {
	ID    string        `json:"id,omitempty"`
	State string        `json:"state,omitempty"` // "ready", "done" or empty
	Nodes []sut.NodeID  `json:"nodes,omitempty"`
	At    time.Duration `json:"time_ns"`
	// Of a command that was carried out; see the history.
	*Value `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// external is the side of a [Nemesis] that is driven from outside.
type external struct {
	lines chan []byte // closed when there are no more
	max   int         // of the nodes

	steps map[string]int // by the sender's name; belongs to Next
	names map[int]string // and back

	mu  sync.Mutex // guards out
	out io.Writer
}

const (
	// externalPause is how often a line that may have come is looked for.
	externalPause = 2 * time.Millisecond
	// maxCommand bounds a line, in bytes.
	maxCommand = 1 << 20
)

// Drive lets lines of in say what is broken and mended, and answers each on out: one JSON object a
// line, {"external": …}. It returns at once; in is read until it ends, beside the run. A Nemesis
// that is driven has no other plan, and its Next is Done when in has ended.
func (n *Nemesis) Drive(in io.Reader, out io.Writer) {
	x := &external{lines: make(chan []byte), max: len(n.env.ids()), out: out,
		steps: map[string]int{}, names: map[int]string{}}
	n.external = x
	go func() { // nothing can end a read; the program ends with it
		defer close(x.lines)
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, maxCommand)
		for sc.Scan() {
			x.lines <- bytes.Clone(sc.Bytes())
		}
		if err := sc.Err(); err != nil {
			x.say(answer{Error: "read the commands: " + err.Error()})
		}
	}()
	x.say(answer{State: "ready", Nodes: n.env.ids()})
}

func (x *external) say(a answer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	// Whoever drives may have gone; the run goes on without being heard.
	_ = json.NewEncoder(x.out).Encode(map[string]answer{"external": a})
}

// listen takes the lines that have come, and says whether more may come.
func (n *Nemesis) listen(now time.Duration) bool {
	for {
		select {
		case line, ok := <-n.external.lines:
			if !ok {
				return false
			}
			if err := n.command(line, now); err != nil {
				a := answer{At: now, Error: err.Error()}
				var c Command
				if json.Unmarshal(line, &c) == nil {
					a.ID = c.ID
				}
				n.external.say(a)
			}
		default:
			return true
		}
	}
}

// command puts what a line asks for among what is to be done now.
func (n *Nemesis) command(line []byte, now time.Duration) error {
	var c Command
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return fmt.Errorf("no command: %w", err)
	}
	if c.ID == "" {
		return fmt.Errorf(`"id" is missing`)
	}
	id, known := n.external.steps[c.ID]
	switch {
	case c.Do == "heal" && !known:
		return fmt.Errorf("nothing was injected under the id %q", c.ID)
	case c.Do == "heal":
		step, _ := n.planned(id)
		n.todo = append(n.todo, action{step, now, true})
		return nil
	case c.Do != "inject":
		return fmt.Errorf(`"do" is %q: want inject or heal`, c.Do)
	case known:
		return fmt.Errorf("the id %q was used before", c.ID)
	}
	step, err := c.step(len(n.external.steps)+1, n.external.max)
	if err != nil {
		return err
	}
	if err := n.add(step); err != nil {
		return err
	}
	n.external.steps[c.ID], n.external.names[step.ID] = step.ID, c.ID
	n.todo = append(n.todo, action{step, now, false})
	return nil
}

// step is what a command asks for.
func (c Command) step(id, nodes int) (Step, error) {
	p := planStep{Fault: c.Fault, Target: c.Target, Seed: c.Seed, At: "0s", For: "1s"}
	if len(c.Params) > 0 {
		raw, err := yaml.Marshal(c.Params)
		if err == nil {
			err = yaml.Unmarshal(raw, &p.Params)
		}
		if err != nil {
			return Step{}, err
		}
		p.Params.at = nil // it is a line of JSON
	}
	step, err := p.step(id, time.Hour, nodes)
	step.KeepMajority = c.KeepMajority
	return step, err
}

// ended answers a command that was carried out.
func (x *external) ended(v Value, done history.Op) {
	if name, ok := x.names[v.Step]; ok {
		x.say(answer{ID: name, At: done.Time, Value: &v})
	}
}
