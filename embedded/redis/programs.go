package redis

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// ErrMissing reports that this machine has no Redis that could be run.
var ErrMissing = errors.New("no Redis is installed here: install it, for example with 'apt-get install redis-server' or 'brew install redis', " +
	"or name its program in MESH_REDIS_SERVER")

// places are where packages put the server, if not on PATH.
var places = []string{
	"/usr/bin/redis-server", "/usr/local/bin/redis-server", "/opt/homebrew/bin/redis-server", "/opt/local/bin/redis-server",
	"/usr/bin/valkey-server", "/usr/local/bin/valkey-server", "/opt/homebrew/bin/valkey-server",
}

// program is the path of the server.
func program() (string, error) {
	if path := os.Getenv("MESH_REDIS_SERVER"); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", errors.New("MESH_REDIS_SERVER=" + path + ": there is no such program")
		}
		return filepath.Abs(found)
	}
	for _, name := range append([]string{"redis-server", "valkey-server"}, places...) {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", ErrMissing
}

// unprivileged is whom Redis runs as when we are root; nil is whom we are.
func unprivileged() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"redis", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	const nobody = 65534
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// directory is one that who owns, with a name that leaves room for that of a socket.
func directory(who *syscall.Credential) (string, error) {
	base := os.TempDir()
	if len(base)+len("/mesh-redis-0123456789/redis.sock") > maxSocket || who != nil && !passable(base) {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "mesh-redis-")
	if err == nil && who != nil {
		err = os.Chown(dir, int(who.Uid), int(who.Gid))
	}
	return dir, err
}

// passable reports whether everybody may pass through a directory and all above it.
func passable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		up := filepath.Dir(dir)
		if up == dir {
			return true
		}
		dir = up
	}
}
