package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/cmd/mesh/snapshot"
)

func backupCommand(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "backup <dir>", Short: "Copy every stream, bucket and object store into a folder", GroupID: groupOther, Args: exactly("a folder"),
		Long: "Copy everything that the mesh keeps in JetStream, with the positions of its consumers, into a new\n" +
			"folder; services may go on. What was acknowledged before it began is in it. What was under way is in\n" +
			"it in such a way that services, started on a restored copy, finish it. PostgreSQL is not copied:\n" +
			"'mesh view rebuild' makes its tables again. Needs a user that may use all of $JS.API.",
		Example: "  mesh backup /backups/2026-11-24\n  mesh backup /backups/2026-11-24 --nats nats://10.0.0.5:4222 --json",
		RunE:    func(cmd *cobra.Command, args []string) error { return runBackup(cmd.Context(), c, &n, args[0]) },
	}
	n.add(cmd.Flags())
	return cmd
}

func runBackup(ctx context.Context, c *cli, n *natsFlags, dir string) error {
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	m, err := snapshot.Take(ctx, conn.NATS(), dir, buildVersion().Mesh, c.streamDone)
	if errors.Is(err, snapshot.ErrNothing) {
		return usagef("%w: name another with --nats", err)
	}
	if err != nil {
		return fmt.Errorf("%w; %s is no usable backup", err, dir)
	}
	if c.json {
		return c.printJSON(m)
	}
	messages, bytes := totals(&m)
	_, err = fmt.Fprintf(c.out, "backed up %d streams, %d messages, %s to %s in %s\n",
		len(m.Streams), messages, megabytes(bytes), dir, m.Ended.Sub(m.Begun).Round(time.Millisecond))
	return err
}

// streamDone prints a line for each stream that is done, for people.
func (c *cli) streamDone(s snapshot.Stream, took time.Duration) {
	if !c.json {
		fmt.Fprintf(c.out, "  %-22s %10d messages %10s %8s\n", s.Name, s.Messages, megabytes(s.FileBytes), took.Round(time.Millisecond))
	}
}

func totals(m *snapshot.Manifest) (messages uint64, bytes int64) {
	for i := range m.Streams {
		messages += m.Streams[i].Messages
		bytes += m.Streams[i].FileBytes
	}
	return messages, bytes
}

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
