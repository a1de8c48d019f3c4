package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
)

// rebuilt is what `mesh view rebuild --json` prints.
type rebuilt struct {
	View       string `json:"view"`
	Table      string `json:"table"`
	Checkpoint uint64 `json:"checkpoint"`
	Generation uint64 `json:"generation"`
	Took       string `json:"took"`
}

func viewRebuild(c *cli) *cobra.Command {
	var n natsFlags
	var options view.RebuildOptions
	cmd := &cobra.Command{
		Use: "rebuild <view>", Short: "Fold a view in PostgreSQL anew beside the live one, then swap",
		Long: "Fold the whole stream into a table beside the live one, which goes on being read and written, and swap\n" +
			"them in one step: readers see the old rows until then and the new ones from then on. It mends a view that\n" +
			"stands still, and brings in a changed fold. A view in memory is rebuilt by restarting its process.\n" +
			"DATABASE_URL says where PostgreSQL is; 'mesh dev --postgres' prints its own.",
		Example: "  mesh view rebuild order\n  mesh view rebuild order --accept-gaps   # the stream has lost events for good",
		Args:    exactly("a view"), ValidArgs: viewNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			views, err := chooseViews(args)
			if err != nil {
				return err
			}
			return withViews(cmd.Context(), &n, func(conn *bus.Conn, all *backings) error {
				return c.rebuildView(cmd.Context(), conn, all, views[0], options)
			})
		},
	}
	n.add(cmd.Flags())
	cmd.Flags().BoolVar(&options.AcceptGaps, "accept-gaps", false, "fold what is there of entities whose events are lost")
	return cmd
}

func (c *cli) rebuildView(ctx context.Context, conn *bus.Conn, all *backings, v storedView, o view.RebuildOptions) error {
	pool, err := viewPool(ctx, all, v)
	if err != nil {
		return err
	}
	begin, said := time.Now(), time.Now()
	o.Progress = func(s view.Status) {
		if !c.json && time.Since(said) > time.Second {
			said = time.Now()
			fmt.Fprintf(c.errOut, "%s: at %d, %d messages to go\n", v.entity, s.Sequence, s.Behind)
		}
	}
	at, err := v.rebuild(ctx, conn, pool, o)
	if err != nil {
		return err
	}
	took := time.Since(begin).Round(time.Millisecond)
	if c.json {
		return c.printJSON(rebuilt{v.entity, v.table, at.Sequence, at.Generation, took.String()})
	}
	_, err = fmt.Fprintf(c.out, "%s is rebuilt in %s: %s is at %d, generation %d\n", v.entity, took, v.table, at.Sequence, at.Generation)
	return err
}

// verdict is what `mesh view verify --json` prints of one view.
type verdict struct {
	View       string   `json:"view"`
	Table      string   `json:"table"`
	Clean      bool     `json:"clean"`
	Checkpoint uint64   `json:"checkpoint"`
	Rows       int      `json:"rows"`
	Hash       string   `json:"hash"`
	Folded     string   `json:"folded"`
	Missing    []string `json:"missing,omitempty"`
	Foreign    []string `json:"foreign,omitempty"`
	Different  []string `json:"different,omitempty"`
}

func viewVerify(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "verify [view]...", Short: "Compare views in PostgreSQL with a fold of their streams",
		Long: "Read the rows of a view as they are at one moment, fold its stream up to the view's checkpoint, and compare\n" +
			"the hash of both. Nothing is changed, and the services go on. Exit code 1 means that a view is not what its\n" +
			"stream gives: 'mesh view rebuild' mends it. Of entities with lost events, what is there is compared.\n" +
			"DATABASE_URL says where PostgreSQL is; 'mesh dev --postgres' prints its own.",
		Example:   "  mesh view verify\n  mesh view verify order payment --json",
		ValidArgs: viewNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			views, err := chooseViews(args)
			if err != nil {
				return err
			}
			return withViews(cmd.Context(), &n, func(conn *bus.Conn, all *backings) error {
				return c.verifyViews(cmd.Context(), conn, all, views)
			})
		},
	}
	n.add(cmd.Flags())
	return cmd
}

func (c *cli) verifyViews(ctx context.Context, conn *bus.Conn, all *backings, views []storedView) error {
	clean := true
	for _, v := range views {
		pool, err := viewPool(ctx, all, v)
		if err != nil {
			return err
		}
		found, err := v.verify(ctx, conn, pool)
		if err != nil {
			return fmt.Errorf("verify %s: %w", v.entity, err)
		}
		clean = clean && found.Clean()
		doc := verdict{
			v.entity, v.table, found.Clean(), found.Checkpoint.Sequence, found.Rows, found.Hash, found.Folded,
			found.Missing, found.Foreign, found.Different,
		}
		if c.json {
			err = c.printJSON(doc)
		} else {
			err = c.printVerdict(doc)
		}
		if err != nil {
			return err
		}
	}
	if !clean {
		return errSaid
	}
	return nil
}

func (c *cli) printVerdict(v verdict) error {
	if v.Clean {
		_, err := fmt.Fprintf(c.out, "%s %s: %d rows up to %d are what the stream gives (%s)\n", c.paint(green, "ok"), v.View, v.Rows, v.Checkpoint, v.Hash)
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: the %d rows of %s up to %d are not what the stream gives\n", c.paint(red, "bad"), v.View, v.Rows, v.Table, v.Checkpoint)
	for _, kind := range []struct {
		what string
		keys []string
	}{{"differ", v.Different}, {"are missing", v.Missing}, {"are not in the stream", v.Foreign}} {
		if n := len(kind.keys); n > 0 {
			const shown = 10
			more := ""
			if n > shown {
				more = ", …"
			}
			fmt.Fprintf(&b, "  %d %s: %s%s\n", n, kind.what, telemetry.Escape(strings.Join(kind.keys[:min(n, shown)], ", ")), more)
		}
	}
	fmt.Fprintf(&b, "  mend it with: mesh view rebuild %s\n", v.View)
	_, err := fmt.Fprint(c.out, b.String())
	return err
}
