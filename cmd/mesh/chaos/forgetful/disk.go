// Package forgetful is a disk for tests that forgets what was not synced, as a disk does
// whose power is cut.
//
// A Disk is two states of one tree of files: what its users see, and what would still be
// there after a power cut. It follows a journaling file system with ordered metadata, such
// as ext4, and is as forgetful as that may be:
//
//   - What is written to a file is kept once that file is synced (fsync, fdatasync, or any
//     write through O_SYNC or O_DSYNC), not before, whatever time passes, whatever else is
//     synced and although the file is closed.
//   - What happens to names and sizes (create, mkdir, rename, unlink, rmdir, truncate) is a
//     journal in the order in which it happened. A sync of any file or directory keeps the
//     whole journal so far. So a synced file has its name, and a new file whose directory
//     is synced is there and empty. A rename is atomic.
//   - A sync that returned is kept. The disk does not lie, and no sector goes bad.
//
// A cut may also be torn: then a part of the journal from its beginning is kept as well,
// and of each file that was written some of the unsynced bytes: the beginning of them, with
// or without the rest as zeros, in no relation to other files.
//
// It is not a file system to use: it lives in memory, knows one user, and has no links.
package forgetful

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Disk is one tree of files. It is safe for concurrent use.
type Disk struct {
	mu      sync.Mutex
	root    *inode
	next    uint64   // number of the next inode
	journal []func() // what happened to names and sizes since the last sync
	cut     bool
	syncs   int
}

// inode is a file or a directory.
type inode struct {
	number   uint64
	mode     uint32
	changed  time.Time
	children map[string]*inode // of a directory; nil for a file
	data     []byte
	unsynced []span // written since the last sync, oldest first

	keptChildren map[string]*inode
	keptData     []byte
}

// span is a range of bytes.
type span struct{ from, to int }

// NewDisk is empty.
func NewDisk() *Disk {
	d := &Disk{}
	d.root = d.newDir(0o700)
	return d
}

func (d *Disk) newInode(mode uint32) *inode {
	d.next++
	return &inode{number: d.next, mode: mode & 0o7777, changed: time.Now()}
}

func (d *Disk) newDir(mode uint32) *inode {
	i := d.newInode(mode)
	i.children, i.keptChildren = map[string]*inode{}, map[string]*inode{}
	return i
}

func (i *inode) dir() bool { return i.children != nil }

// Syncs counts what was asked to be kept.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// note adds to the journal. Called with the lock.
func (d *Disk) note(happened func()) { d.journal = append(d.journal, happened) }

// keep makes the journal so far survive. Called with the lock.
func (d *Disk) keep() {
	for _, happened := range d.journal {
		happened()
	}
	d.journal = nil
	d.syncs++
}

// sync makes everything of the inode survive.
func (d *Disk) sync(i *inode) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return syscall.EIO
	}
	d.keep()
	i.keepData(len(i.unsynced))
	i.resizeKept(len(i.data))
	i.unsynced = nil
	return 0
}

// keepData makes the first n spans that were written survive.
func (i *inode) keepData(n int) {
	for _, s := range i.unsynced[:n] {
		if s.to = min(s.to, len(i.data)); s.from >= s.to {
			continue // it was cut off again
		}
		if s.to > len(i.keptData) {
			i.resizeKept(s.to)
		}
		copy(i.keptData[s.from:s.to], i.data[s.from:s.to])
	}
}

func (i *inode) resizeKept(size int) { i.keptData = resize(i.keptData, size) }

// resize cuts data or continues it with zeros.
func resize(data []byte, size int) []byte {
	if size <= len(data) {
		return data[:size]
	}
	old := len(data)
	data = slices.Grow(data, size-old)[:size]
	clear(data[old:])
	return data
}

// create makes a file or a directory; an existing file is an error.
func (d *Disk) create(parent *inode, name string, mode uint32, dir bool) (*inode, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil, syscall.EIO
	}
	if parent.children[name] != nil {
		return nil, syscall.EEXIST
	}
	var i *inode
	if dir {
		i = d.newDir(mode)
	} else {
		i = d.newInode(mode)
	}
	parent.children[name] = i
	d.note(func() { parent.keptChildren[name] = i })
	return i, 0
}

func (d *Disk) lookup(parent *inode, name string) *inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return parent.children[name]
}

func (d *Disk) list(parent *inode) map[string]*inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(parent.children)
}

// remove takes a name away; a directory must be empty.
func (d *Disk) remove(parent *inode, name string, dir bool) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := parent.children[name]
	switch {
	case d.cut:
		return syscall.EIO
	case i == nil:
		return syscall.ENOENT
	case dir && !i.dir():
		return syscall.ENOTDIR
	case !dir && i.dir():
		return syscall.EISDIR
	case len(i.children) > 0:
		return syscall.ENOTEMPTY
	}
	delete(parent.children, name)
	d.note(func() { delete(parent.keptChildren, name) })
	return 0
}

// rename moves a name, over another one if that is there.
func (d *Disk) rename(parent *inode, name string, newParent *inode, newName string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, over := parent.children[name], newParent.children[newName]
	switch {
	case d.cut:
		return syscall.EIO
	case i == nil:
		return syscall.ENOENT
	case i == over:
		return 0
	case over != nil && over.dir() != i.dir():
		return syscall.EEXIST
	case over != nil && len(over.children) > 0:
		return syscall.ENOTEMPTY
	}
	delete(parent.children, name)
	newParent.children[newName] = i
	d.note(func() {
		delete(parent.keptChildren, name)
		newParent.keptChildren[newName] = i
	})
	return 0
}

func (d *Disk) write(i *inode, data []byte, at int) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return syscall.EIO
	}
	end := at + len(data)
	from := min(at, len(i.data)) // a hole is zeros, which count as written
	if end > len(i.data) {
		i.data = resize(i.data, end)
	}
	copy(i.data[at:end], data)
	if n := len(i.unsynced); n > 0 && i.unsynced[n-1].to == from {
		i.unsynced[n-1].to = end
	} else {
		i.unsynced = append(i.unsynced, span{from, end})
	}
	i.changed = time.Now()
	return 0
}

func (d *Disk) read(i *inode, dest []byte, at int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at >= len(i.data) {
		return 0
	}
	return copy(dest, i.data[at:])
}

func (d *Disk) truncate(i *inode, size int) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return syscall.EIO
	}
	i.data = resize(i.data, size)
	for n, s := range i.unsynced { // what is cut off is not written again when the file grows
		i.unsynced[n] = span{min(s.from, size), min(s.to, size)}
	}
	d.note(func() { i.resizeKept(size) })
	i.changed = time.Now()
	return 0
}

// Cut ends the power: whatever is asked of the disk from now on fails. It returns the disk
// that is there when the power is back. torn tears what was not synced; nil loses all
// of it.
func (d *Disk) Cut(torn *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = true
	if torn != nil && len(d.journal) > 0 {
		for _, happened := range d.journal[:torn.IntN(len(d.journal)+1)] {
			happened()
		}
	}
	after := NewDisk()
	after.restore(d.root, after.root, torn)
	return after
}

// restore copies what is kept of a directory.
func (d *Disk) restore(from, to *inode, torn *rand.Rand) {
	for _, name := range slices.Sorted(maps.Keys(from.keptChildren)) {
		old := from.keptChildren[name]
		var i *inode
		if old.dir() {
			i = d.newDir(old.mode)
			d.restore(old, i, torn)
		} else {
			if torn != nil {
				old.tear(torn)
			}
			i = d.newInode(old.mode)
			i.data, i.keptData = slices.Clone(old.keptData), slices.Clone(old.keptData)
		}
		to.children[name], to.keptChildren[name] = i, i
	}
}

// tear lets a part of what was not synced survive: some spans whole and the beginning of
// the next one, sometimes followed by zeros to its end.
func (i *inode) tear(torn *rand.Rand) {
	if len(i.unsynced) == 0 || torn.IntN(3) == 0 {
		return
	}
	whole := torn.IntN(len(i.unsynced))
	i.keepData(whole)
	s := i.unsynced[whole]
	s.to = min(s.to, len(i.data))
	if s.from >= s.to {
		return
	}
	end := s.to
	s.to = s.from + torn.IntN(s.to-s.from+1)
	i.unsynced[whole] = s
	i.keepData(whole + 1)
	if torn.IntN(3) == 0 && end > len(i.keptData) {
		i.resizeKept(end)
	}
}
