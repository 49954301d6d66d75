//go:build linux

package crashfs

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// node is a file or a directory. What it does not say itself is passed through.
type node struct {
	fs.LoopbackNode
	disk *Disk
}

func (d *Disk) newRoot() (fs.InodeEmbedder, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(d.dir, &st); err != nil {
		return nil, err
	}
	root := &fs.LoopbackRoot{Path: d.dir, Dev: st.Dev}
	//nolint:staticcheck // NodeWrapChilder wraps what is made already, without its disk
	root.NewNode = func(*fs.LoopbackRoot, *fs.Inode, string, *syscall.Stat_t) fs.InodeEmbedder {
		return &node{LoopbackNode: fs.LoopbackNode{RootData: root}, disk: d}
	}
	top := &node{LoopbackNode: fs.LoopbackNode{RootData: root}, disk: d}
	root.RootNode = top
	return top, nil
}

// path is where the node is in the backing directory.
func (n *node) path() string {
	return filepath.Join(n.RootData.Path, n.Path(n.Root()))
}

// ours says whether name is not for the node under test.
func (n *node) ours(name string) bool { return name == Hidden && n.IsRoot() }

// room fails if the disk is full, or does not take writes.
func (n *node) room() syscall.Errno {
	switch ills := n.disk.Ills(); {
	case ills.Full:
		return n.disk.fault(syscall.ENOSPC)
	case ills.Write:
		return n.disk.fault(syscall.EIO)
	}
	return 0
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut,
) (*fs.Inode, syscall.Errno) {
	if n.ours(name) {
		return nil, syscall.ENOENT
	}
	return n.LoopbackNode.Lookup(ctx, name, out)
}

// make carries out what makes an entry.
func (n *node) make(name string, do func() (*fs.Inode, syscall.Errno)) (*fs.Inode, syscall.Errno) {
	if n.ours(name) {
		return nil, syscall.EPERM
	}
	if e := n.room(); e != 0 {
		return nil, e
	}
	if e := n.disk.lock(); e != 0 {
		return nil, e
	}
	defer n.disk.mu.Unlock()
	ino, e := do()
	if e == 0 {
		n.disk.undo.made(inodeOf(n.path()), filepath.Join(n.path(), name))
		n.disk.unsynced()
	}
	return ino, e
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut,
) (*fs.Inode, syscall.Errno) {
	return n.make(name, func() (*fs.Inode, syscall.Errno) {
		return n.LoopbackNode.Mkdir(ctx, name, mode, out)
	})
}

func (n *node) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut,
) (*fs.Inode, syscall.Errno) {
	return n.make(name, func() (*fs.Inode, syscall.Errno) {
		return n.LoopbackNode.Mknod(ctx, name, mode, dev, out)
	})
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut,
) (*fs.Inode, syscall.Errno) {
	return n.make(name, func() (*fs.Inode, syscall.Errno) {
		return n.LoopbackNode.Symlink(ctx, target, name, out)
	})
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut,
) (*fs.Inode, syscall.Errno) {
	return n.make(name, func() (*fs.Inode, syscall.Errno) {
		return n.LoopbackNode.Link(ctx, target, name, out)
	})
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut,
) (inode *fs.Inode, fh fs.FileHandle, fuseFlags uint32, e syscall.Errno) {
	var f *os.File
	inode, e = n.make(name, func() (*fs.Inode, syscall.Errno) {
		made, h, _, e := n.LoopbackNode.Create(ctx, name, syscall.O_RDWR|syscall.O_EXCL, mode, out)
		if e != 0 {
			return nil, e
		}
		if e := h.(fs.FileReleaser).Release(ctx); e != 0 {
			return nil, e
		}
		var err error
		f, err = os.OpenFile(filepath.Join(n.path(), name), os.O_RDWR, 0)
		return made, errno(err)
	})
	if e != 0 {
		return nil, nil, 0, e
	}
	return inode, n.disk.newFile(f, flags), 0, 0
}

// Tmpfile is refused: programs that want it know how to do without.
func (n *node) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut,
) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EOPNOTSUPP
}

// CopyFileRange is refused, so that the kernel reads and writes instead.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle,
	uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// Statx is refused, so that the kernel asks for the attributes.
func (n *node) Statx(context.Context, fs.FileHandle, uint32, uint32, *fuse.StatxOut) syscall.Errno {
	return syscall.ENOSYS
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	if n.ours(name) {
		return syscall.EPERM
	}
	if e := n.disk.lock(); e != 0 {
		return e
	}
	defer n.disk.mu.Unlock()
	path := filepath.Join(n.path(), name)
	if err := n.disk.undo.removing(inodeOf(n.path()), path); err != nil {
		return errno(err)
	}
	err := syscall.Unlink(path)
	if err != nil {
		n.disk.undo.forgetLast()
	}
	n.disk.unsynced()
	return errno(err)
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	if n.ours(name) {
		return syscall.EPERM
	}
	if e := n.disk.lock(); e != 0 {
		return e
	}
	defer n.disk.mu.Unlock()
	path := filepath.Join(n.path(), name)
	st, err := os.Lstat(path)
	if err == nil {
		err = syscall.Rmdir(path)
	}
	if err == nil {
		n.disk.undo.removedDir(inodeOf(n.path()), path, st.Mode().Perm())
		n.disk.unsynced()
	}
	return errno(err)
}

func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string,
	flags uint32) syscall.Errno {
	to, ok := parent.(*node)
	if !ok || n.ours(name) || to.ours(newName) {
		return syscall.EPERM
	}
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	if e := n.room(); e != 0 {
		return e
	}
	if e := n.disk.lock(); e != 0 {
		return e
	}
	defer n.disk.mu.Unlock()
	p1, p2 := filepath.Join(n.path(), name), filepath.Join(to.path(), newName)
	if flags != 0 && inodeOf(p2) != 0 {
		return syscall.EEXIST
	}
	if err := n.disk.undo.renaming(inodeOf(n.path()), inodeOf(to.path()), p1, p2); err != nil {
		return errno(err)
	}
	err := syscall.Rename(p1, p2)
	if err != nil {
		n.disk.undo.forgetLast()
	}
	n.disk.unsynced()
	return errno(err)
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	mode := os.O_RDWR
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(n.path(), mode, 0)
	if err != nil {
		return nil, 0, errno(err)
	}
	h := n.disk.newFile(f, flags)
	if flags&syscall.O_TRUNC != 0 {
		if e := h.truncate(0); e != 0 {
			_ = f.Close()
			return nil, 0, e
		}
	}
	return h, 0, 0
}

// Setattr sets the size itself, and leaves the rest to the loopback.
func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut,
) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		h, isOpen := f.(*file)
		if !isOpen {
			opened, err := os.OpenFile(n.path(), os.O_RDWR, 0)
			if err != nil {
				return errno(err)
			}
			defer opened.Close()
			h = n.disk.newFile(opened, 0)
		}
		if e := h.truncate(int64(size)); e != 0 {
			return e
		}
		in.Valid &^= fuse.FATTR_SIZE
	}
	if h, ok := f.(*file); ok && in.Valid&^(fuse.FATTR_FH|fuse.FATTR_LOCKOWNER) == 0 {
		return h.Getattr(ctx, out)
	}
	return n.LoopbackNode.Setattr(ctx, f, in, out)
}

func (n *node) OpendirHandle(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	stream, e := fs.NewLoopbackDirStream(n.path())
	if e != 0 {
		return nil, 0, e
	}
	return &directory{dirStream: stream.(dirStream), node: n}, 0, 0
}

// dirStream is what the loopback's directories can do.
type dirStream interface {
	fs.FileReaddirenter
	fs.FileSeekdirer
	fs.FileReleasedirer
}

// directory is an open directory.
type directory struct {
	dirStream
	node *node
}

func (d *directory) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	for {
		entry, e := d.dirStream.Readdirent(ctx)
		if e != 0 || entry == nil || !d.node.ours(entry.Name) {
			return entry, e
		}
	}
}

func (d *directory) Fsyncdir(context.Context, uint32) syscall.Errno {
	return d.node.disk.sync(inodeOf(d.node.path()), true)
}
