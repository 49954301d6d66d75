//go:build linux

package crashfs

import (
	"context"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// file is an open file. It does not embed the loopback's: whatever that could do would go past the
// disk, its descriptor handed to the kernel above all.
type file struct {
	disk  *Disk
	f     *os.File
	ino   uint64
	syncs bool // after each write
}

var _ interface {
	fs.FileReader
	fs.FileWriter
	fs.FileFsyncer
	fs.FileFlusher
	fs.FileReleaser
	fs.FileGetattrer
	fs.FileAllocater
	fs.FileLseeker
} = (*file)(nil)

// newFile is f as it was opened with flags. It must be open for reading and writing if the flags
// allow writing.
func (d *Disk) newFile(f *os.File, flags uint32) *file {
	h := &file{disk: d, f: f, syncs: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0}
	var st syscall.Stat_t
	if syscall.Fstat(int(f.Fd()), &st) == nil {
		h.ino = st.Ino
	}
	return h
}

func (h *file) Read(_ context.Context, buf []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	if h.disk.Ills().Read {
		return nil, h.disk.fault(syscall.EIO)
	}
	return fuse.ReadResultFd(h.f.Fd(), offset, len(buf)), 0
}

func (h *file) Write(_ context.Context, data []byte, offset int64) (uint32, syscall.Errno) {
	n, e := h.disk.write(h.ino, h.f, data, offset)
	if e == 0 && h.syncs {
		e = h.disk.sync(h.ino, false)
	}
	return uint32(n), e
}

func (h *file) Fsync(context.Context, uint32) syscall.Errno { return h.disk.sync(h.ino, false) }

// Flush is called at each close, and promises nothing.
func (h *file) Flush(context.Context) syscall.Errno { return 0 }

func (h *file) Release(context.Context) syscall.Errno { return errno(h.f.Close()) }

func (h *file) Getattr(_ context.Context, out *fuse.AttrOut) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(h.f.Fd()), &st); err != nil {
		return errno(err)
	}
	out.FromStat(&st)
	return 0
}

func (h *file) Lseek(_ context.Context, offset uint64, whence uint32) (uint64, syscall.Errno) {
	n, err := unix.Seek(int(h.f.Fd()), int64(offset), int(whence))
	return uint64(n), errno(err)
}

func (h *file) truncate(size int64) syscall.Errno {
	return h.disk.resize(h.ino, h.f, size, -1, func() error { return h.f.Truncate(size) })
}

func (h *file) Allocate(_ context.Context, offset, size uint64, mode uint32) syscall.Errno {
	if h.disk.Ills().Full {
		return h.disk.fault(syscall.ENOSPC)
	}
	n := int64(size)
	if mode&(unix.FALLOC_FL_COLLAPSE_RANGE|unix.FALLOC_FL_INSERT_RANGE) != 0 {
		n = -1 // everything behind it moves
	}
	return h.disk.resize(h.ino, h.f, int64(offset), n, func() error {
		return unix.Fallocate(int(h.f.Fd()), mode, int64(offset), int64(size))
	})
}
