package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// gracePeriod is how long a process may need from SIGTERM until another one has
// taken up what it left: its own end, and the longest wait for an acknowledgement.
func gracePeriod() time.Duration { return stopTimeout + longestAckWait() }

func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Errorf("%q is no duration: %v", text, err)
	}
	return d
}

// understood checks a command line of mesh without running it: the command exists, and
// so do its flags and, for run, the services.
func understood(t *testing.T, args []string) {
	t.Helper()
	root := newRoot(&cli{out: t.Output(), errOut: t.Output()})
	cmd, rest, err := root.Find(args)
	if err != nil || !cmd.Runnable() {
		t.Errorf("mesh %v: there is no such command: %v", args, err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("mesh %v: %v", args, err)
		return
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("mesh %v: %v", args, err)
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "help" {
			t.Errorf("mesh %v only prints its help", args)
		}
	})
}
