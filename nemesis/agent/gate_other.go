//go:build !linux

package agent

import "errors"

// Gate needs Linux.
func Gate([]string) error { return errors.New("disks can be broken on Linux alone") }
