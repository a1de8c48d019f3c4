package postgres

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrMissing reports that this machine has no PostgreSQL that could be run.
var ErrMissing = errors.New("PostgreSQL is not installed here: install it, for example with 'apt-get install postgresql' or 'brew install postgresql', " +
	"or name the folder of its programs in MESH_POSTGRES_BIN")

// places are where packages put initdb and postgres, if not on PATH.
var places = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/opt/local/lib/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// programs is the folder of initdb and postgres.
func programs() (string, error) {
	if dir := os.Getenv("MESH_POSTGRES_BIN"); dir != "" {
		if complete(dir) {
			return dir, nil
		}
		return "", errors.New("MESH_POSTGRES_BIN=" + dir + ": there are no programs postgres and initdb")
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if dir := filepath.Dir(path); complete(dir) {
			return dir, nil
		}
	}
	var found []string
	for _, pattern := range places {
		dirs, _ := filepath.Glob(pattern) // the patterns are well-formed
		found = append(found, slices.DeleteFunc(dirs, func(dir string) bool { return !complete(dir) })...)
	}
	if len(found) == 0 {
		return "", ErrMissing
	}
	return slices.MaxFunc(found, func(a, b string) int { return release(a) - release(b) }), nil
}

// complete reports whether a folder has what it takes.
func complete(dir string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// release is the major version in a folder's name, 0 for none.
func release(dir string) int {
	digits := strings.FieldsFunc(dir, func(r rune) bool { return r < '0' || r > '9' })
	for _, d := range digits {
		if n, err := strconv.Atoi(d); err == nil {
			return n
		}
	}
	return 0
}
