package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups in which `mesh --help` lists the commands.
const (
	groupStart   = "start"
	groupLook    = "look"
	groupMeasure = "measure"
	groupOther   = "other"
)

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "mesh",
		Short: "Orders from placed to delivered on NATS",
		Long: "mesh runs ordermesh: an order-to-cash back end of small services on NATS.\n" +
			"'mesh dev' starts everything in one process; the other commands look into a running mesh.",
		Example: "  mesh dev                                   # everything in one process\n" +
			"  mesh run orders --nats nats://10.0.0.5:4222  # one service, server elsewhere\n" +
			"  mesh verify                                # is everything consistent?",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRun: func(*cobra.Command, []string) { c.started = true },
	}
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Start a mesh:"},
		&cobra.Group{ID: groupLook, Title: "Look into a mesh:"},
		&cobra.Group{ID: groupMeasure, Title: "Measure:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see '%s --help'", plainFlagError(err), cmd.CommandPath())
	})
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON for programs instead of text for people")
	root.AddCommand(
		devCommand(c), runCommand(c), seedCommand(c),
		verifyCommand(c), healthCommand(c), reportCommand(c), viewCommand(c), flowCommand(c), dlqCommand(c), configCommand(c), policyCommand(c), benchCommand(c),
		inGroup(groupOther, topologyCommand(c)), inGroup(groupOther, authCommand(c)), deployCommand(c), backupCommand(c), restoreCommand(c), versionCommand(c),
	)
	return root
}

// plainFlagError says what is wrong with a flag's value without a library's words.
func plainFlagError(err error) error {
	var value *pflag.InvalidValueError
	var number *strconv.NumError
	switch {
	case !errors.As(err, &value):
		return err
	case errors.As(err, &number):
		return fmt.Errorf("--%s %q is no number", value.GetFlag().Name, value.GetValue())
	}
	return fmt.Errorf("--%s %q: %w", value.GetFlag().Name, value.GetValue(), value.Unwrap())
}

func inGroup(id string, cmd *cobra.Command) *cobra.Command {
	cmd.GroupID = id
	return cmd
}

// group is a command that only holds others: it needs one of them.
func group(use, short, example string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(children...)
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	hint := ""
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf("did you mean '%s'? ", strings.Join(near, "' or '"))
	}
	return usagef("there is no command %q; %s'%s --help' lists them", name, hint, cmd.CommandPath())
}

// exactly demands n positional arguments and says which.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usagef("unexpected argument %q; see '%s --help'", args[0], cmd.CommandPath())
		}
		return usagef("expected %s; see '%s --help'", strings.Join(names, " and "), cmd.CommandPath())
	}
}
