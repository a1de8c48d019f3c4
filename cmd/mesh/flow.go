package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

func flowCommand(c *cli) *cobra.Command {
	return inGroup(groupLook, group("flow", "Look at durable flows, start and steer them",
		"  mesh flow ls --status stuck\n  mesh flow show checkout k3v5w2q7a4m6x2c3z5y7b2d4f6\n  mesh flow retry checkout k3v5w2q7a4m6x2c3z5y7b2d4f6",
		flowList(c), flowShow(c), flowStart(c), flowSignal(c), flowCancel(c), flowRetry(c), flowCheck(c), flowCapture(c)))
}

// exampleFlow is the instance of all examples.
const exampleFlow = "checkout k3v5w2q7a4m6x2c3z5y7b2d4f6"

// flowFlags say which mesh and which service.
type flowFlags struct {
	nats    natsFlags
	service string
}

func (o *flowFlags) add(cmd *cobra.Command) {
	o.nats.add(cmd.Flags())
	cmd.Flags().StringVar(&o.service, "service", "", "`service` that runs the flow, if its name leaves a choice")
}

// with connects and calls f with a client of the flows service.
func (o *flowFlags) with(ctx context.Context, f func(context.Context, *rpc.Client) error) error {
	conn, err := o.nats.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(ctx, rpc.NewClient(conn))
}

// ask calls a service.
func ask[Req, Resp any](ctx context.Context, client *rpc.Client, m contract.Method[Req, Resp], req Req) (Resp, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	resp, err := rpc.Call(ctx, client, m, req)
	if errors.Is(err, rpc.ErrNoResponders) {
		return resp, usagef("the %[1]s service does not run here: start it with 'mesh run %[1]s'", m.Info().Service)
	}
	return resp, err
}

// ref names an instance, whose service follows from the flow's name.
func (o *flowFlags) ref(args []string) (flows.Ref, error) {
	service, err := o.serviceOf(args[0])
	return flows.Ref{Service: service, Flow: args[0], ID: args[1]}, err
}

// serviceOf finds the one service whose descriptor names the flow.
func (o *flowFlags) serviceOf(name string) (string, error) {
	if o.service != "" {
		return o.service, nil
	}
	var found, known []string
	for _, d := range descriptors(allServices()) {
		if name == flows.ScheduleFlow && len(d.Flows) > 0 {
			found = append(found, d.Name)
		}
		for _, f := range d.Flows {
			known = append(known, f.Name)
			if f.Name == name {
				found = append(found, d.Name)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", usagef("there is no flow %q: choose from %s, or name its --service", name, strings.Join(known, ", "))
	case 1:
		return found[0], nil
	}
	return "", usagef("several services run a flow %q: choose with --service from %s", name, strings.Join(found, ", "))
}

// statusColour is how a status looks in a terminal.
func statusColour(s flows.Status) string {
	switch s {
	case flows.Completed:
		return green
	case flows.Failed, flows.Cancelled, flows.Compensating:
		return yellow
	case flows.Stuck:
		return red
	case flows.Pending, flows.Running, flows.Waiting:
		return cyan
	}
	return strong
}
