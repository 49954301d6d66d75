package simulator_test

import (
	"fmt"

	"github.com/raftcheck/raftcheck/node/sim/simulator"
)

// The same seed gives the same run, so a failure can be looked at again.
func ExampleRun() {
	first := simulator.Run(17, nil)
	again := simulator.Run(17, nil)
	fmt.Println("violation:", first.Violation)
	fmt.Println("same run:", first.Digest == again.Digest)
	// Output:
	// violation: <nil>
	// same run: true
}
