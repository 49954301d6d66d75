package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// clockRole is a program whose clocks are skewed: for each line of its input it says what they
// show and how often a ticker of 5 ms has ticked. Meanwhile busy goroutines look for a monotonic
// clock that goes back, which ends it.
func clockRole(in io.Reader, out io.Writer) error {
	start := time.Now()
	var ticks atomic.Int64
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			ticks.Add(1)
		}
	}()
	for range 3 {
		go func() {
			for last := time.Duration(0); ; {
				now := time.Since(start)
				if now < last {
					fmt.Fprintf(os.Stderr, "the clock went back from %v to %v\n", last, now)
					os.Exit(3) //nolint:revive // it is a program of its own
				}
				last = now
				runtime.Gosched()
			}
		}()
	}
	sc := bufio.NewScanner(in)
	for sc.Scan() {
		if _, err := fmt.Fprintln(out, time.Now().UnixNano(), int64(time.Since(start)),
			ticks.Load()); err != nil {
			return err
		}
	}
	return sc.Err()
}
