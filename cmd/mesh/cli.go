package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The exit codes of every command.
const (
	exitGood  = 0
	exitBad   = 1 // the command ran and found something bad, or what it ran failed
	exitUsage = 2 // the command line is wrong or there is no connection
)

// cli is what every command shares: where to print and how.
type cli struct {
	out, errOut io.Writer
	json        bool
	started     bool      // the command line was understood
	start       time.Time // when the process began
}

// usageError marks errors that exit with exitUsage.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errSaid ends a command with exitBad without another word: its output has said it.
var errSaid = errors.New("something bad was found")

// exitCode: what cobra refuses before a command starts is wrong usage, too.
func (c *cli) exitCode(err error) int {
	var usage *usageError
	if !c.started || errors.As(err, &usage) {
		return exitUsage
	}
	return exitBad
}

func (c *cli) printError(command string, err error, code int) {
	if errors.Is(err, errSaid) {
		return
	}
	if !c.json {
		fmt.Fprintf(c.errOut, "%s: %v\n", command, err)
		return
	}
	doc, jsonErr := contract.Marshal(struct {
		Error string `json:"error"`
		Exit  int    `json:"exit"`
	}{err.Error(), code})
	if jsonErr != nil {
		doc = []byte(`{"error":"the error text is not valid UTF-8"}`)
	}
	fmt.Fprintf(c.errOut, "%s\n", doc)
}

// printJSON writes v as one line.
func (c *cli) printJSON(v any) error {
	doc, err := contract.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	_, err = fmt.Fprintf(c.out, "%s\n", doc)
	return err
}

// Colours and weights of a terminal.
const (
	strong = "1"
	dimmed = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// bold marks text in a terminal and leaves it alone elsewhere.
func (c *cli) bold(text string) string { return c.paint(strong, text) }

// dim is for what may be skipped.
func (c *cli) dim(text string) string { return c.paint(dimmed, text) }

// paint colours text in a terminal; an empty code leaves it alone.
func (c *cli) paint(code, text string) string {
	if code == "" || !colours(c.out) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// colours reports whether w is a terminal that wants them.
func colours(w io.Writer) bool {
	return terminal(w) && os.Getenv("NO_COLOR") == ""
}

// terminal reports whether w is a terminal that can be drawn on.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
}
