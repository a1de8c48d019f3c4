package forgetful_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/cmd/mesh/chaos/forgetful"
)

// shown is a mounted disk and the files that are open there.
type shown struct {
	*testing.T
	dir  string
	open []*os.File
}

// show has use look at a disk, and unmounts it.
func show(t *testing.T, d *forgetful.Disk, use func(s *shown)) {
	t.Helper()
	s := &shown{T: t, dir: filepath.Join(t.TempDir(), "disk")}
	unmount, err := forgetful.Mount(d, s.dir)
	if errors.Is(err, forgetful.ErrUnavailable) {
		t.Skip(err)
	}
	s.must(err)
	defer func() {
		for _, f := range s.open {
			_ = f.Close()
		}
		if err := unmount(); err != nil {
			t.Error(err)
		}
	}()
	use(s)
}

// tree is every file with its content.
func (s *shown) tree() map[string]string {
	s.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == s.dir {
			return err
		}
		name := strings.TrimPrefix(path, s.dir+"/")
		if e.IsDir() {
			files[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return files
}

func (s *shown) must(errs ...error) {
	s.Helper()
	for _, err := range errs {
		if err != nil {
			s.Fatal(err)
		}
	}
}

func (s *shown) opened(name string, flags int) *os.File {
	s.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, name), flags, 0o600)
	s.must(err)
	s.open = append(s.open, f)
	return f
}

func (s *shown) wrote(f *os.File, text string) {
	s.Helper()
	_, err := f.WriteString(text)
	s.must(err)
}

func TestWhatSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	const create = os.O_CREATE | os.O_RDWR
	for _, c := range []struct {
		name string
		do   func(s *shown)
		want map[string]string
	}{
		{"nothing is synced", func(s *shown) {
			s.wrote(s.opened("a", create), "text")
		}, map[string]string{}},
		{"a synced file has its name and its bytes until then", func(s *shown) {
			f := s.opened("a", create)
			s.wrote(f, "kept")
			s.must(f.Sync())
			s.wrote(f, " lost")
		}, map[string]string{"a": "kept"}},
		{"a synced file keeps the names of others, not their bytes", func(s *shown) {
			s.wrote(s.opened("other", create), "lost")
			s.must(s.opened("a", create).Sync())
		}, map[string]string{"a": "", "other": ""}},
		{"a synced directory keeps names", func(s *shown) {
			s.must(os.Mkdir(s.dir+"/d", 0o700))
			s.wrote(s.opened("d/a", create), "lost")
			s.must(s.opened("d", os.O_RDONLY).Sync())
		}, map[string]string{"d/": "", "d/a": ""}},
		{"O_SYNC syncs each write", func(s *shown) {
			s.wrote(s.opened("a", create|os.O_SYNC), "kept")
			s.wrote(s.opened("b", create|syscall.O_DSYNC), "kept")
		}, map[string]string{"a": "kept", "b": "kept"}},
		{"a rename without a sync did not happen", func(s *shown) {
			s.wrote(s.opened("a", create|os.O_SYNC), "old")
			s.wrote(s.opened("a.tmp", create|os.O_SYNC), "new")
			s.must(os.Rename(s.dir+"/a.tmp", s.dir+"/a"))
		}, map[string]string{"a": "old", "a.tmp": "new"}},
		{"a rename is kept with its directory", func(s *shown) {
			s.wrote(s.opened("a", create|os.O_SYNC), "old")
			s.wrote(s.opened("a.tmp", create|os.O_SYNC), "new")
			s.must(os.Rename(s.dir+"/a.tmp", s.dir+"/a"), s.opened("", os.O_RDONLY).Sync())
		}, map[string]string{"a": "new"}},
		{"a file that was renamed before its bytes were synced is empty", func(s *shown) {
			s.wrote(s.opened("a", create|os.O_SYNC), "old")
			s.wrote(s.opened("a.tmp", create), "new")
			s.must(os.Rename(s.dir+"/a.tmp", s.dir+"/a"), s.opened("", os.O_RDONLY).Sync())
		}, map[string]string{"a": ""}},
		{"a directory is renamed with all that is in it", func(s *shown) {
			s.must(os.Mkdir(s.dir+"/d", 0o700))
			s.wrote(s.opened("d/a", create|os.O_SYNC), "kept")
			s.must(os.Rename(s.dir+"/d", s.dir+"/e"), s.opened("", os.O_RDONLY).Sync())
		}, map[string]string{"e/": "", "e/a": "kept"}},
		{"what was removed comes back without a sync", func(s *shown) {
			s.wrote(s.opened("a", create|os.O_SYNC), "kept")
			s.must(os.Remove(s.dir + "/a"))
		}, map[string]string{"a": "kept"}},
		{"what was removed and synced is gone", func(s *shown) {
			s.must(os.Mkdir(s.dir+"/d", 0o700))
			s.wrote(s.opened("a", create|os.O_SYNC), "gone")
			s.must(os.Remove(s.dir+"/a"), os.Remove(s.dir+"/d"), s.opened("", os.O_RDONLY).Sync())
		}, map[string]string{}},
		{"a truncation is kept with the journal, and what came after is not", func(s *shown) {
			a := s.opened("a", create|os.O_SYNC)
			s.wrote(a, "a long text")
			s.must(a.Truncate(6))
			s.must(s.opened("b", create).Sync())
			_, err := s.opened("a", os.O_RDWR).WriteAt([]byte("tale"), 6)
			s.must(err)
		}, map[string]string{"a": "a long", "b": ""}},
		{"a truncation without a sync did not happen", func(s *shown) {
			s.wrote(s.opened("a", create|os.O_SYNC), "kept")
			s.opened("a", os.O_RDWR|os.O_TRUNC)
		}, map[string]string{"a": "kept"}},
		{"a hole is zeros", func(s *shown) {
			f := s.opened("a", create)
			_, err := f.WriteAt([]byte("x"), 3)
			s.must(err, f.Sync())
		}, map[string]string{"a": "\x00\x00\x00x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := forgetful.NewDisk()
			var after *forgetful.Disk
			show(t, d, func(s *shown) {
				c.do(s)
				after = d.Cut(nil)
				if f, err := os.OpenFile(s.dir+"/late", create, 0o600); err == nil {
					_ = f.Close()
					t.Error("a disk without power takes a file")
				}
			})
			show(t, after, func(s *shown) {
				if diff := cmp.Diff(c.want, s.tree()); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// A torn cut keeps all that was synced and a beginning of the rest.
func TestTornCuts(t *testing.T) {
	t.Parallel()
	random, kinds := rand.New(rand.NewPCG(1, 2)), map[string]bool{}
	synced, rest := strings.Repeat("k", 100), strings.Repeat("t", 100)
	for range 40 {
		d := forgetful.NewDisk()
		var after *forgetful.Disk
		show(t, d, func(s *shown) {
			f := s.opened("a", os.O_CREATE|os.O_RDWR)
			s.wrote(f, synced)
			s.must(f.Sync())
			s.wrote(f, rest)
			s.opened("b", os.O_CREATE|os.O_RDWR)
			after = d.Cut(random)
		})
		var files map[string]string
		show(t, after, func(s *shown) { files = s.tree() })
		tail, ok := strings.CutPrefix(files["a"], synced)
		written := strings.TrimRight(tail, "\x00")
		if !ok || !strings.HasPrefix(rest, written) || len(tail) > len(rest) {
			t.Fatalf("after a torn cut the file is %q", files["a"])
		}
		_, named := files["b"]
		kinds["named"] = kinds["named"] || named
		kinds["unnamed"] = kinds["unnamed"] || !named
		kinds["lost"] = kinds["lost"] || tail == ""
		kinds["torn"] = kinds["torn"] || written != "" && written != rest
		kinds["zeros"] = kinds["zeros"] || bytes.HasSuffix([]byte(tail), []byte{0})
	}
	for _, kind := range []string{"named", "unnamed", "lost", "torn", "zeros"} {
		if !kinds[kind] {
			t.Errorf("no cut of forty was like this: %s", kind)
		}
	}
}
