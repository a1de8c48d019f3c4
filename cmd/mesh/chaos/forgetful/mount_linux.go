package forgetful

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// ErrUnavailable reports that this machine or user cannot mount a file system.
var ErrUnavailable = errors.New("a file system cannot be mounted here: it takes root and /dev/fuse")

// busyFor is how long unmounting waits for those who have files open, such as a process
// that was killed just now.
const busyFor = 10 * time.Second

// Mount shows the disk at a directory, which is made, until unmount is called. Nothing is
// cached between its users and the disk. Who has files open keeps it mounted, and that is
// an error in the end.
func Mount(d *Disk, dir string) (unmount func() error, err error) {
	if os.Geteuid() != 0 {
		return nil, ErrUnavailable
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mount a disk: %w", err)
	}
	none := time.Duration(0)
	server, err := fs.Mount(dir, &node{disk: d, inode: d.root}, &fs.Options{
		EntryTimeout: &none, AttrTimeout: &none, NegativeTimeout: &none,
		MountOptions:   fuse.MountOptions{DirectMountStrict: true, FsName: "forgetful", Name: "forgetful", DisableXAttrs: true},
		RootStableAttr: &fs.StableAttr{Ino: d.root.number, Mode: syscall.S_IFDIR},
	})
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return func() error {
		for late := time.Now().Add(busyFor); ; {
			err := syscall.Unmount(dir, 0)
			if err == nil {
				server.Wait()
				return nil
			}
			if !errors.Is(err, syscall.EBUSY) || time.Now().After(late) {
				return errors.Join(fmt.Errorf("unmount %s: %w", dir, err), syscall.Unmount(dir, syscall.MNT_DETACH))
			}
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the kernel does not tell
		}
	}, nil
}

// node is an inode as the kernel sees it.
type node struct {
	fs.Inode
	disk  *Disk
	inode *inode
}

// handle is an open file.
type handle struct{ sync bool }

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
)

func (n *node) child(ctx context.Context, i *inode, out *fuse.EntryOut) *fs.Inode {
	i.attributes(n.disk, &out.Attr)
	mode := uint32(syscall.S_IFREG)
	if i.dir() {
		mode = syscall.S_IFDIR
	}
	return n.NewInode(ctx, &node{disk: n.disk, inode: i}, fs.StableAttr{Mode: mode, Ino: i.number})
}

func (i *inode) attributes(d *Disk, out *fuse.Attr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out.Ino, out.Mode, out.Nlink = i.number, syscall.S_IFREG|i.mode, 1
	if i.dir() {
		out.Mode = syscall.S_IFDIR | i.mode
	}
	out.Size = uint64(len(i.data))
	out.SetTimes(nil, &i.changed, &i.changed)
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	i := n.disk.lookup(n.inode, name)
	if i == nil {
		return nil, syscall.ENOENT
	}
	return n.child(ctx, i, out), 0
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	i, errno := n.disk.create(n.inode, name, mode, false)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	h, kind, _ := open(flags)
	return n.child(ctx, i, out), h, kind, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	i, errno := n.disk.create(n.inode, name, mode, true)
	if errno != 0 {
		return nil, errno
	}
	return n.child(ctx, i, out), 0
}

func open(flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return &handle{sync: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0}, fuse.FOPEN_DIRECT_IO, 0
}

// Open truncates when it is asked to: the kernel leaves O_TRUNC to us or sends a change of
// size, and both are the same.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_TRUNC != 0 {
		if errno := n.disk.truncate(n.inode, 0); errno != 0 {
			return nil, 0, errno
		}
	}
	return open(flags)
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	var list []fuse.DirEntry
	for name, i := range n.disk.list(n.inode) {
		mode := uint32(syscall.S_IFREG)
		if i.dir() {
			mode = syscall.S_IFDIR
		}
		list = append(list, fuse.DirEntry{Name: name, Ino: i.number, Mode: mode})
	}
	return fs.NewListDirStream(list), 0
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(dest[:n.disk.read(n.inode, dest, int(off))]), 0
}

func (n *node) Write(_ context.Context, h fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := n.disk.write(n.inode, data, int(off)); errno != 0 {
		return 0, errno
	}
	if h, ok := h.(*handle); ok && h.sync {
		if errno := n.disk.sync(n.inode); errno != 0 {
			return 0, errno
		}
	}
	return uint32(len(data)), 0 //nolint:gosec // a write is smaller than 4 GiB
}

func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return n.disk.sync(n.inode)
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.inode.attributes(n.disk, &out.Attr)
	return 0
}

// Setattr changes sizes; modes, owners and times are of no interest here.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if errno := n.disk.truncate(n.inode, int(size)); errno != 0 { //nolint:gosec // files live in memory
			return errno
		}
	}
	n.inode.attributes(n.disk, &out.Attr)
	return 0
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return n.disk.remove(n.inode, name, false)
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return n.disk.remove(n.inode, name, true)
}

func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*node)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	return n.disk.rename(n.inode, name, to.inode, newName)
}

// Statfs shows room enough for any test.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	const block, blocks = 4096, 1 << 20
	out.Bsize, out.Frsize, out.NameLen = block, block, 255
	out.Blocks, out.Bfree, out.Bavail = blocks, blocks, blocks
	out.Files, out.Ffree = blocks, blocks
	return 0
}
