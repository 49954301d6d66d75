//go:build !unix

package docker

import "syscall"

// ownSession is left to the defaults where there are no sessions.
func ownSession() *syscall.SysProcAttr { return nil }
