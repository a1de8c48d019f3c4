package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// watch waits for the end of its input, which is the end of our process. Then it ends
// the server that the data directory names, and removes everything.
const watch = `cat >/dev/null
file="$1/data/postmaster.pid"
pid=$(head -n 1 "$file" 2>/dev/null) && kill -QUIT "$pid"
n=0; while [ -e "$file" ] && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
rm -rf "$1"`

// guard starts the watchdog. It lives until it is released, or until our process ends
// in whatever way.
func (s *Server) guard() error {
	cmd := exec.Command("/bin/sh", "-c", watch, "mesh-postgres-watchdog", s.dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the watchdog of PostgreSQL: %w", err)
	}
	s.watchdog, s.lifeline = cmd, lifeline
	return nil
}

// release ends the watchdog, which has nothing left to do but to remove files.
func (s *Server) release() error {
	err := s.lifeline.Close()
	waited := s.watchdog.Wait()
	if _, exited := errors.AsType[*exec.ExitError](waited); exited {
		waited = nil // the server had ended before
	}
	return errors.Join(err, waited)
}
