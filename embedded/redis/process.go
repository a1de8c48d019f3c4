package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watch is the parent of the server. It waits for a word or for the end of its input,
// which is the end of our process; then it ends the server and, without the word,
// removes everything. The server's number stays its own until then, because nobody
// else waits for the server.
const watch = `dir=$1; shift
"$@" </dev/null >>"$dir/log" 2>&1 & pid=$!
exec 3>&-
echo $pid
read -r word
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
[ "$word" = keep ] || rm -rf "$dir"`

func logFile(dir string) string { return filepath.Join(dir, "log") }

// process is one run of a server and its parent.
type process struct {
	shell *exec.Cmd
	word  io.WriteCloser
	pid   int
	near  *os.File // only the server holds the far end: the pipe ends with it
}

// spawn starts a server. The pipe that only the server holds at its far end tells of
// its end.
func spawn(program, dir string, args []string, who *syscall.Credential) (*process, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", watch, "mesh-redis-watchdog", dir, program}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	near, far, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{far}
	p := &process{shell: cmd, near: near}
	out, errOut := cmd.StdoutPipe()
	word, errIn := cmd.StdinPipe()
	if err := errors.Join(errOut, errIn); err != nil {
		return nil, errors.Join(err, near.Close(), far.Close())
	}
	p.word = word
	err = cmd.Start()
	_ = far.Close()
	if err != nil {
		return nil, errors.Join(err, near.Close())
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		p.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the parent of Redis says %q: %w", line, err), word.Close(), near.Close(), cmd.Wait())
	}
	return p, nil
}

// over reports whether the server ends within a time.
func (p *process) over(within time.Duration) bool {
	if err := p.near.SetReadDeadline(time.Now().Add(within)); err != nil {
		return true
	}
	_, err := p.near.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func (p *process) signal(signal syscall.Signal) error {
	if p.over(time.Millisecond) {
		return errors.New("the Redis has ended")
	}
	return syscall.Kill(p.pid, signal)
}

// end ends the server as told, or by force when it takes too long, and keeps its files.
func (p *process) end(signal syscall.Signal) error {
	if p.signal(signal) == nil {
		p.over(stopLimit)
	}
	_, err := io.WriteString(p.word, "keep\n")
	err = errors.Join(err, p.word.Close())
	waited := p.shell.Wait()
	if _, exited := errors.AsType[*exec.ExitError](waited); exited {
		waited = nil // it passes on how the server has ended
	}
	return errors.Join(err, waited, p.near.Close())
}
