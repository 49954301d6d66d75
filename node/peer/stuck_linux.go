package peer

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setStuckTimeout ends a connection whose data the other side has not acknowledged for so long
// (RFC 5482). Without it a cut link is noticed after a quarter of an hour, and a healed one only
// when the retransmission timer, doubled each time, fires again.
func setStuckTimeout(conn net.Conn, d time.Duration) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// A kernel that refuses leaves the write deadline, which is slower but does the same.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT,
			int(d.Milliseconds()))
	})
}
