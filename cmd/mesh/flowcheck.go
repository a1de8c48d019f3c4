package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/page"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
)

// flowDefinitions are the flows in this build, by service.
func flowDefinitions() map[string][]flow.Registered {
	return map[string][]flow.Registered{orders.Descriptor.Name: ordersservice.Flows()}
}

// readsAtOnce is how many journals a check reads at the same time.
const readsAtOnce = 16

func flowCheck(c *cli) *cobra.Command {
	var o flowFlags
	var dir string
	cmd := &cobra.Command{
		Use: "check", Short: "See whether every open flow would go on with the code of this build",
		Long: "Replays every flow that has not ended, or the histories of a folder, against the flows in this build. Nothing is run or\n" +
			"written. Flows that the code does not follow are listed with both sides, and the exit code is 1: run it before a\n" +
			"deployment, with the new build against the running mesh.",
		Example: "  mesh flow check --nats nats://10.0.0.5:4222\n  mesh flow check --dir services/orders/testdata/histories", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found *checked
			var err error
			if dir != "" {
				found, err = checkFolder(cmd.Context(), dir)
			} else {
				found, err = o.checkMesh(cmd.Context())
			}
			if err != nil {
				return err
			}
			return c.printChecked(found)
		},
	}
	o.nats.add(cmd.Flags())
	cmd.Flags().StringVar(&o.service, "service", "", "only flows of this `service`")
	cmd.Flags().StringVar(&dir, "dir", "", "check the captured histories in this `folder` instead of a mesh")
	return cmd
}

// checked is the outcome of a check as JSON shows it.
type checked struct {
	Checked  int        `json:"checked"`
	NoReplay []mismatch `json:"no_replay"`
}

// mismatch is a flow that would not go on.
type mismatch struct {
	Service string `json:"service"`
	Flow    string `json:"flow"`
	ID      string `json:"id"`
	Version int    `json:"version"`
	Why     string `json:"why"`
}

func (r *checked) note(ref flows.Ref, version int, err error) {
	r.Checked++
	if err != nil {
		why := strings.TrimPrefix(err.Error(), flow.ErrNoReplay.Error()+": ")
		r.NoReplay = append(r.NoReplay, mismatch{ref.Service, ref.Flow, ref.ID, version, why})
	}
}

// checkMesh replays what has not ended.
func (o *flowFlags) checkMesh(ctx context.Context) (*checked, error) {
	conn, err := o.nats.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	open, err := openFlows(ctx, rpc.NewClient(conn), o.service)
	if err != nil {
		return nil, err
	}
	return checkOpen(ctx, conn, open)
}

func checkOpen(ctx context.Context, conn *bus.Conn, open []flows.Instance) (*checked, error) {
	found := &checked{NoReplay: []mismatch{}}
	definitions := flowDefinitions()
	var mu sync.Mutex // guards found
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for _, f := range open {
		group.Go(func() error {
			ref := flows.Ref{Service: f.Service, Flow: f.Flow, ID: f.ID}
			h, err := historyOf(ctx, conn, ref)
			switch {
			case errors.Is(err, flow.ErrNotFound) && f.Status == flows.Pending:
				h.Version, err = f.Version, canBegin(definitions[f.Service], f)
			case errors.Is(err, flow.ErrNotFound): // it was forgotten meanwhile
				return nil
			case err != nil:
				return fmt.Errorf("read %s %s: %w", f.Flow, f.ID, err)
			default:
				err = h.Check(ctx, definitions[f.Service]...)
			}
			mu.Lock()
			defer mu.Unlock()
			found.note(ref, h.Version, err)
			return nil
		})
	}
	err := group.Wait()
	return found, err
}

// canBegin says whether the build has what a flow will begin with.
func canBegin(definitions []flow.Registered, f flows.Instance) error {
	if f.Flow == flows.ScheduleFlow || slices.ContainsFunc(definitions, func(d flow.Registered) bool {
		return d.Info().Name == f.Flow && d.Info().Version == f.Version
	}) {
		return nil
	}
	return fmt.Errorf("it waits for version %d, which is not in this build", f.Version)
}

func historyOf(ctx context.Context, conn *bus.Conn, ref flows.Ref) (flow.History, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return flow.NewClient(conn, ref.Service).History(ctx, ref.Flow, ref.ID)
}

// openFlows lists what has not ended, once the list is up to date.
func openFlows(ctx context.Context, client *rpc.Client, service string) ([]flows.Instance, error) {
	var open []flows.Instance
	for _, status := range flows.Statuses() {
		if status.Ended() {
			continue
		}
		req := flows.ListFlows{Service: service, Status: status, Limit: page.MaxLimit}
		for {
			list, err := ask(ctx, client, flows.List, req)
			if err != nil {
				return nil, err
			}
			if list.Behind > atMostBehind {
				return nil, fmt.Errorf("the list of flows is %d messages behind: try again later", list.Behind)
			}
			open = append(open, list.Flows...)
			if req.Cursor = list.NextCursor; req.Cursor == "" {
				break
			}
		}
	}
	return open, nil
}

// atMostBehind is how far a list that keeps up may be behind: flows that began in this
// moment began with the code that runs.
const atMostBehind = 10_000

// checkFolder replays captured histories.
func checkFolder(ctx context.Context, dir string) (*checked, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, usagef("there are no histories (*.json) in --dir %s", dir)
	}
	found := &checked{NoReplay: []mismatch{}}
	definitions := flowDefinitions()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("--dir: %w", err)
		}
		h, err := flow.DecodeHistory(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		found.note(flows.Ref{Service: h.Service, Flow: h.Flow, ID: h.ID}, h.Version, h.Check(ctx, definitions[h.Service]...))
	}
	return found, nil
}

func (c *cli) printChecked(found *checked) error {
	slices.SortFunc(found.NoReplay, func(a, b mismatch) int {
		return strings.Compare(a.Service+"/"+a.Flow+"/"+a.ID, b.Service+"/"+b.Flow+"/"+b.ID)
	})
	if err := c.showChecked(found); err != nil {
		return err
	}
	if len(found.NoReplay) > 0 {
		return errSaid
	}
	return nil
}

func (c *cli) showChecked(found *checked) error {
	if c.json {
		return c.printJSON(found)
	}
	var g grid
	for _, m := range found.NoReplay {
		g.add(cell{m.Service, dimmed}, cell{m.Flow, strong}, cell{text: m.ID}, cell{fmt.Sprintf("v%d", m.Version), dimmed}, cell{m.Why, red})
	}
	lines := g.lines(c, "")
	lines = append(lines, fmt.Sprintf("%d flows replayed, %d would not go on with this build", found.Checked, len(found.NoReplay)))
	_, err := fmt.Fprintln(c.out, strings.Join(lines, "\n"))
	return err
}

func flowCapture(c *cli) *cobra.Command {
	var o flowFlags
	var dir string
	cmd := &cobra.Command{
		Use: "capture <flow> <id>", Short: "Write a flow's history to a file, to hold later code against it",
		Long: "Writes the flow's input and its journal to <flow>.v<version>.<id>.json. 'mesh flow check --dir' and flowtest.Replay hold code\n" +
			"against such files. They contain what the flow was told and has found out as it is, names and addresses, too.",
		Example: "  mesh flow capture " + exampleFlow + " --dir services/orders/testdata/histories", Args: exactly("a flow", "an id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := o.ref(args)
			if err != nil {
				return err
			}
			file, err := o.capture(cmd.Context(), ref, dir)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]any{"file": file})
			}
			_, err = fmt.Fprintln(c.out, file)
			return err
		},
	}
	o.add(cmd)
	cmd.Flags().StringVar(&dir, "dir", ".", "`folder` to write to; it is made if it is missing")
	return cmd
}

// capture writes a history and returns where it is.
func (o *flowFlags) capture(ctx context.Context, ref flows.Ref, dir string) (string, error) {
	for field, value := range map[string]string{"flow": ref.Flow, "id": ref.ID, "service": ref.Service} {
		if !contract.ValidID(value) {
			return "", usagef("%q is no %s: 1 to %d of the characters A-Z a-z 0-9 _ -", value, field, contract.MaxID)
		}
	}
	conn, err := o.nats.connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	h, err := historyOf(ctx, conn, ref)
	if err != nil {
		return "", err
	}
	data, err := h.Encode()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s.v%d.%s.json", h.Flow, h.Version, h.ID))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", usagef("--dir: %w", err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return "", usagef("--dir: %w", err)
	}
	return file, nil
}
