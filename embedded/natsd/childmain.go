package natsd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// childEnv carries a node's configuration to the process that runs it.
const childEnv = "MESH_NATSD_NODE"

// stopTimeout bounds the orderly end of a child.
const stopTimeout = 10 * time.Second

// ChildMain turns this process into a NATS node when [StartChild] started it, and
// returns at once otherwise. Programs and tests that start children call it first
// thing in main or TestMain. As a node it never returns.
func ChildMain() {
	text, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	if err := runChild(text, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stdout, failed(err))
		os.Exit(1)
	}
	os.Exit(0)
}

// kinds are the reasons of a failure that the parent must recognise.
var kinds = []error{ErrPortTaken, ErrStoreInUse, ErrStoreUnusable, ErrConfig}

// failed is the first line of a child that cannot start: "failed <kind> <why>".
func failed(err error) string {
	kind := slices.IndexFunc(kinds, func(k error) bool { return errors.Is(err, k) })
	return fmt.Sprintf("failed %d %v", kind, err)
}

// parseFailed is the inverse of failed.
func parseFailed(line string) error {
	number, why, _ := strings.Cut(line, " ")
	if kind, err := strconv.Atoi(number); err == nil && kind >= 0 && kind < len(kinds) {
		return fail(kinds[kind], "%s", why)
	}
	return errors.New(why)
}

// runChild serves until its parent closes the pipe or dies. It talks in lines: the
// first it writes is "ready", then "<id> <answer>" to each "<id> <question> <arg>".
func runChild(text string, in io.Reader, out io.Writer) error {
	var n node
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return fmt.Errorf("the node's configuration cannot be read: %w", err)
	}
	n.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := start(n)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready", s.Port())
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		id, question, _ := strings.Cut(lines.Text(), " ")
		fmt.Fprintln(out, id, s.answer(question))
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return s.Shutdown(ctx)
}

func (s *Server) answer(question string) bool {
	verb, arg, _ := strings.Cut(question, " ")
	switch verb {
	case "leads":
		return s.LeadsStream(arg)
	case "meta":
		return s.leadsMeta()
	case "current":
		return s.current()
	}
	return false
}
