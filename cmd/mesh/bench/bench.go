package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The ways to reach the server.
const (
	TCP  = "tcp"  // loopback
	Pipe = "pipe" // in process
)

// When servers write to the disk for good.
const (
	SyncAlways   = "always"   // before each acknowledgement
	SyncInterval = "interval" // now and then, as a server does by default
)

// Options says how long and how wide to measure; the zero value is what `mesh bench`
// does by default.
type Options struct {
	Rounds      int           // measurements of each kind, of which the median counts; 0 is 5
	Duration    time.Duration // of one measurement; 0 is 2s
	Concurrency []int         // empty is 1, 16, 128; of orders 1, 64, 256
	Transports  []string      // empty is TCP and Pipe
	Dir         string        // where servers store; "" is the system's temporary folder
	Stored      int           // messages in the stream from which cold loads are measured; 0 is 100,000
	Steps       int           // of a flow; 0 is 3
	StepTime    time.Duration // how long each step of a flow works
	Sync        string        // flow: SyncAlways or SyncInterval alone; "" is both
	Sleepers    int           // flows that sleep for a day; 0 is 10,000
	Changes     int           // of a price that caches hear of; 0 is 1,000
	Processes   bool          // orders: once more, with the server and every service apart
	Apart       bool          // overload: server and NATS in processes of their own
	Handler     string        // overload: one of OverloadHandlers; "" is all
	Progress    io.Writer     // one line per row as it is ready; nil prints nothing

	meter func() time.Duration // the processor time that counts; nil is this process's
}

func (o Options) withDefaults(concurrency ...int) Options {
	if len(concurrency) == 0 {
		concurrency = []int{1, 16, 128}
	}
	if len(o.Concurrency) == 0 {
		o.Concurrency = concurrency
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
	if len(o.Transports) == 0 {
		o.Transports = []string{TCP, Pipe}
	}
	if o.Stored == 0 {
		o.Stored = defaultStored
	}
	if o.Steps == 0 {
		o.Steps = 3
	}
	if o.Sleepers == 0 {
		o.Sleepers = 10_000
	}
	if o.Changes == 0 {
		o.Changes = 1000
	}
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// Sample is what one side reached.
type Sample struct {
	Ops   float64       `json:"ops_per_second"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	CPU   time.Duration `json:"cpu_per_op_ns"` // of the whole process: client, server and NATS server
	Count int64         `json:"operations"`
}

// Goal is what a row must reach; zero fields ask for nothing.
type Goal struct {
	OpsRatio float64       `json:"ops_ratio,omitzero"` // at least
	P50Ratio float64       `json:"p50_ratio,omitzero"` // at most
	P99Ratio float64       `json:"p99_ratio,omitzero"` // at most
	Ops      float64       `json:"ops_per_second,omitzero"`
	P50      time.Duration `json:"p50_ns,omitzero"` // at most
	P99      time.Duration `json:"p99_ns,omitzero"` // at most
}

// Row is one line of a report: the library, the raw baseline if there is one, and
// how they compare.
type Row struct {
	Name        string  `json:"name"`
	Transport   string  `json:"transport,omitzero"`
	Concurrency int     `json:"concurrency,omitzero"`
	Ours        Sample  `json:"ours"`
	Raw         *Sample `json:"raw,omitzero"`
	OpsRatio    float64 `json:"ops_ratio,omitzero"` // ours by raw
	P50Ratio    float64 `json:"p50_ratio,omitzero"` // ours by raw
	P99Ratio    float64 `json:"p99_ratio,omitzero"` // ours by raw
	Goal        Goal    `json:"goal"`
	Note        string  `json:"note,omitzero"`
}

// Met reports whether the row reaches its goal.
func (r Row) Met() bool {
	g := r.Goal
	return r.OpsRatio >= g.OpsRatio && (g.P50Ratio == 0 || r.P50Ratio <= g.P50Ratio) && (g.P99Ratio == 0 || r.P99Ratio <= g.P99Ratio) &&
		r.Ours.Ops >= g.Ops && (g.P50 == 0 || r.Ours.P50 <= g.P50) && (g.P99 == 0 || r.Ours.P99 <= g.P99)
}

// Report is everything one benchmark found.
type Report struct { //nolint:recvcheck // finish alone changes it
	Name     string        `json:"name"`
	Go       string        `json:"go"`
	Platform string        `json:"platform"`
	CPUs     int           `json:"cpus"`
	Rounds   int           `json:"rounds"`
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"took_ns"`
	Rows     []Row         `json:"rows"`
	Notes    []string      `json:"notes,omitzero"` // facts that belong to no row, such as appends per order
}

// newReport begins a report; o has its defaults.
func newReport(name string, o Options) Report {
	return Report{
		Name: name, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPUs: runtime.GOMAXPROCS(0), Rounds: o.Rounds, Started: time.Now().UTC(),
	}
}

// finish notes how long it took.
func (r *Report) finish() { r.Took = time.Since(r.Started).Round(time.Millisecond) }

// Met reports whether every row reaches its goal.
func (r Report) Met() bool {
	return !slices.ContainsFunc(r.Rows, func(row Row) bool { return !row.Met() })
}

// WriteJSON writes the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w) //nolint:forbidigo // a report, not a message: durations are plain numbers
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteText writes the report as a table for people.
func (r Report) WriteText(w io.Writer) error {
	fmt.Fprintf(w, "%s: median of %d rounds, %d CPUs, %s %s, took %v\n\n", r.Name, r.Rounds, r.CPUs, r.Go, r.Platform, r.Took)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "name\tover\tclients\tops/s\tp50\tp99\tCPU/op\traw ops/s\traw p50\traw CPU\tops ratio\tp50 ratio\tgoal\t")
	for _, row := range r.Rows {
		fmt.Fprintln(t, strings.Join(row.cells(), "\t")+"\t")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if row.Note != "" {
			fmt.Fprintf(w, "\n%s %s: %s", row.Name, row.Transport, row.Note)
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\n%s", note)
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (r Row) cells() []string {
	cells := []string{r.Name, r.Transport, fmt.Sprint(r.Concurrency), number(r.Ours.Ops), short(r.Ours.P50), short(r.Ours.P99), short(r.Ours.CPU)}
	if r.Raw == nil {
		cells = append(cells, "", "", "", "", "")
	} else {
		cells = append(cells, number(r.Raw.Ops), short(r.Raw.P50), short(r.Raw.CPU), fmt.Sprintf("%.2f", r.OpsRatio), fmt.Sprintf("%.2f", r.P50Ratio))
	}
	return append(cells, r.verdict())
}

func (r Row) verdict() string {
	switch {
	case r.Goal == Goal{}:
		return ""
	case r.Met():
		return "met"
	default:
		return "MISSED"
	}
}

func number(f float64) string {
	if f < 100 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

func short(d time.Duration) string {
	if d < 10*time.Microsecond {
		return d.Round(10 * time.Nanosecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}
