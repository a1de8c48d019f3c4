package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

// How often --follow looks, and draws a wait that goes on.
const (
	lookAgain = 250 * time.Millisecond
	drawAgain = time.Second
)

func flowShow(c *cli) *cobra.Command {
	var o flowFlags
	var follow bool
	cmd := &cobra.Command{
		Use: "show <flow> <id>", Short: "Show one flow as a timeline of its steps",
		Example: "  mesh flow show " + exampleFlow + "\n  mesh flow show " + exampleFlow + " --follow", Args: exactly("a flow", "an id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := o.ref(args)
			if err != nil {
				return err
			}
			return o.with(cmd.Context(), func(ctx context.Context, client *rpc.Client) error {
				if follow {
					return c.followFlow(ctx, client, ref)
				}
				now, err := ask(ctx, client, flows.Get, ref)
				if err != nil {
					return err
				}
				return c.printFlow(now)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&follow, "follow", false, "show it again whenever it has changed, until it has ended or is stuck")
	return cmd
}

// followFlow shows an instance whenever it has changed: in a terminal in the place of
// what it showed before, elsewhere at the end alone, and as JSON one line per change.
func (c *cli) followFlow(ctx context.Context, client *rpc.Client, ref flows.Ref) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	var shown []byte
	var drawn time.Time
	for {
		now, err := ask(ctx, client, flows.Get, ref)
		if err != nil {
			return err
		}
		over := now.Status.Ended() || now.Status == flows.Stuck
		doc, err := contract.Marshal(now)
		if err != nil {
			return err
		}
		live := !c.json && terminal(c.out)
		changed := !bytes.Equal(doc, shown) && (over || c.json || live)
		if changed || (live && time.Since(drawn) >= drawAgain) {
			shown, drawn = doc, time.Now()
			if live {
				fmt.Fprint(c.out, "\x1b[H\x1b[J")
			}
			if err := c.printFlow(now); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *cli) printFlow(f flows.Instance) error {
	if c.json {
		return c.printJSON(f)
	}
	_, err := fmt.Fprintln(c.out, strings.Join(c.flowLines(f, time.Now()), "\n"))
	return err
}

// flowLines draw an instance: a heading, its steps on a line of time, what it waits
// for, and how it ended.
func (c *cli) flowLines(f flows.Instance, now time.Time) []string {
	steps := untilNow(f, now)
	line := timeline{start: f.StartedAt, end: f.StartedAt}
	for _, s := range steps {
		if s.At.After(line.end) {
			line.end = s.At
		}
	}
	version := ""
	if f.Version > 0 {
		version = fmt.Sprintf(" version %d", f.Version)
	}
	if f.Generation > 0 {
		version += fmt.Sprintf(", continued as new %d times", f.Generation)
	}
	took := ""
	if f.Status.Ended() && !f.EndedAt.IsZero() {
		took = "  in " + span(f.EndedAt.Sub(f.StartedAt))
	}
	lines := []string{
		c.bold(f.Flow+" "+f.ID) + "  " + c.paint(statusColour(f.Status), string(f.Status)) + took,
		c.dim(fmt.Sprintf("  %s%s, started %s", f.Service, version, f.StartedAt.Local().Format("2006-01-02 15:04:05.000"))),
	}
	lines = append(lines, line.steps(c, steps, now)...)
	var g grid
	for _, fact := range flowFacts(f, now) {
		g.add(cell{fact[0], dimmed}, cell{text: fact[1]})
	}
	return append(lines, g.lines(c, "  ")...)
}

// untilNow are the steps with a wait that is under way drawn as far as it has come.
func untilNow(f flows.Instance, now time.Time) []flows.StepInfo {
	n := len(f.Steps)
	if f.Wait == nil || n == 0 || f.Steps[n-1].Done || now.Before(f.StartedAt) {
		return f.Steps
	}
	steps := slices.Clone(f.Steps)
	steps[n-1].At = now
	return steps
}

// flowFacts are what is known of an instance beside its steps.
func flowFacts(f flows.Instance, now time.Time) (facts [][2]string) {
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, [2]string{name, telemetry.Escape(text)})
		}
	}
	if w := f.Wait; w != nil {
		add("waits", waitText(*w, now))
	}
	if since, ok := underWay(f); ok {
		add("under way", "a step that is not done yet, for "+span(now.Sub(since)))
	}
	if !f.Deadline.IsZero() {
		add("deadline", moment(f.Deadline, now)+due(f.Deadline, now))
	}
	add("signals", strings.Join(f.Signals, ", "))
	add("report", string(f.Report))
	add("reason", f.Reason)
	if e := f.Error; e != nil {
		add("error", fmt.Sprintf("%s (%s, %s)", e.Message, e.Code, e.Reason))
	}
	add("result", string(f.Result))
	if f.ResultBytes > 0 {
		add("result", fmt.Sprintf("%d bytes: too large to be shown", f.ResultBytes))
	}
	if f.Condensed {
		add("steps", "not kept: it ended long ago")
	}
	if f.StepsBefore > 0 {
		add("steps", fmt.Sprintf("%d before the first one shown", f.StepsBefore))
	}
	return facts
}

// underWay reports since when an instance has been in a step that has left no trace
// yet: the first attempt does that.
func underWay(f flows.Instance) (since time.Time, ok bool) {
	if f.Wait != nil || (f.Status != flows.Running && f.Status != flows.Compensating) {
		return since, false
	}
	since = f.StartedAt
	if n := len(f.Steps); n > 0 {
		if !f.Steps[n-1].Done {
			return since, false
		}
		since = f.Steps[n-1].At
	}
	return since, true
}

func waitText(w flows.Wait, now time.Time) string {
	kind := w.Kind
	if kind == "outcome" {
		kind = "flow"
	}
	text := "for " + kind + " " + w.Name
	if !w.Since.IsZero() {
		text += ", since " + moment(w.Since, now)
	}
	if w.Due.IsZero() {
		return text + ", without end"
	}
	return text + ", until " + moment(w.Due, now) + due(w.Due, now)
}

// moment is a time with its day, unless that is today.
func moment(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05.000")
	}
	return t.Format(time.DateTime)
}

// due says how far a moment is ahead.
func due(t, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return " (in " + span(d) + ")"
	}
	return ""
}

// timeline is the time that an instance has taken so far.
type timeline struct{ start, end time.Time }

// barWidth is the length of the whole line of time, in characters.
const barWidth = 24

// steps draw one line per operation: when it was done, counted from the start; where
// on the line of time it lies, from the end of the one before; and what it took.
func (l timeline) steps(c *cli, steps []flows.StepInfo, now time.Time) []string {
	var g grid
	before := l.start
	for _, s := range steps {
		at := s.At
		if at.Before(before) {
			at = before
		}
		mark, colour := stepMark(s)
		offset, took := "", ""
		if !s.At.IsZero() {
			offset, took = "+"+span(s.At.Sub(l.start)), span(at.Sub(before))
		}
		g.add(cell{offset, dimmed}, cell{l.bar(before, at), colour}, cell{took, dimmed}, cell{mark, colour},
			cell{text: stepName(s)}, cell{text: stepNote(s, now)})
		before = at
	}
	return g.lines(c, "  ")
}

// bar is the part of the line of time between two moments; at least a mark of it.
func (l timeline) bar(from, to time.Time) string {
	total := l.end.Sub(l.start)
	if total <= 0 {
		return "▏" + strings.Repeat(" ", barWidth-1)
	}
	place := func(t time.Time) int {
		return int(int64(barWidth) * int64(t.Sub(l.start)/time.Microsecond) / max(int64(total/time.Microsecond), 1))
	}
	fill := "█"
	if place(from) == place(to) {
		fill = "▏"
	}
	first := min(place(from), barWidth-1)
	length := max(place(to)-first, 1)
	return strings.Repeat(" ", first) + strings.Repeat(fill, length) + strings.Repeat(" ", barWidth-first-length)
}

func stepMark(s flows.StepInfo) (mark, colour string) {
	switch {
	case !s.Done:
		return "…", cyan
	case s.TimedOut:
		return "◷", yellow
	case s.Kind == "cancel":
		return "■", yellow
	case s.Kind == "undo":
		return "↶", yellow
	case s.Error != "":
		return "✘", red
	}
	return "✔", green
}

func stepName(s flows.StepInfo) string {
	switch {
	case s.Kind == "step":
		return s.Name
	case s.Name == "":
		return s.Kind
	}
	return s.Kind + " " + s.Name
}

func stepNote(s flows.StepInfo, now time.Time) string {
	var notes []string
	if s.Attempts > 1 || (!s.Done && s.Attempts > 0) {
		notes = append(notes, fmt.Sprintf("%d attempts", s.Attempts))
	}
	if s.Error != "" {
		notes = append(notes, telemetry.Escape(s.Error))
	}
	if s.TimedOut {
		notes = append(notes, "did not come in time")
	}
	if !s.Done && !s.Due.IsZero() {
		what := "until "
		if s.Kind == "step" || s.Kind == "undo" || s.Kind == "branch" {
			what = "next attempt "
		}
		notes = append(notes, what+moment(s.Due, now)+due(s.Due, now))
	}
	return strings.Join(notes, ", ")
}

// span is a duration for people: three digits at most matter.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
