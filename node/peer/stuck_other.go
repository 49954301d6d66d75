//go:build !linux

package peer

import (
	"net"
	"time"
)

// setStuckTimeout does nothing where the kernel has no such option: the write deadline must do.
func setStuckTimeout(net.Conn, time.Duration) {}
