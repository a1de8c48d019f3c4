package judge

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is what the judge saw.
type Report struct {
	AtRest  bool     `json:"at_rest"`
	Clean   bool     `json:"clean"` // no finding
	Streams []Stream `json:"streams"`
	Checks  []Check  `json:"checks"`
	Notes   []Note   `json:"notes,omitempty"` // no fault by themselves: dead letters, foreign messages
	Totals  Totals   `json:"totals"`
	Took    string   `json:"took"`
}

// Stream says how far a stream was read.
type Stream struct {
	Name     string `json:"name"`
	Exists   bool   `json:"exists"`
	Messages int    `json:"messages"`
	Last     uint64 `json:"last"` // sequence
}

// Check is one promise: how many things were held to it, and which broke it.
type Check struct {
	Name     string    `json:"name"`
	Promise  string    `json:"promise"`
	Looked   int       `json:"looked"`
	Findings []Finding `json:"findings"`
	Omitted  int       `json:"omitted,omitempty"` // findings beyond the first thousand
}

// Finding is one broken promise.
type Finding struct {
	Entity   string `json:"entity"` // such as "order k3v5w2q7a4"
	Subject  string `json:"subject,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"` // in the subject's stream
	Expected string `json:"expected"`
	Is       string `json:"is"`
}

// Note is worth knowing and no finding.
type Note struct {
	Kind     string `json:"kind"` // "dead letter", "foreign message"
	Subject  string `json:"subject"`
	Sequence uint64 `json:"sequence"`
	Text     string `json:"text"`
}

// Totals are numbers that people ask for.
type Totals struct {
	Orders      map[string]int `json:"orders"` // by status
	Events      int            `json:"events"`
	Charges     int            `json:"charges"`
	DeadLetters int            `json:"dead_letters"`
	OnHand      int64          `json:"on_hand"` // over all SKUs
	Reserved    int64          `json:"reserved"`
	Adjusted    int64          `json:"adjusted"` // initial stock and later corrections
	Sold        int64          `json:"sold"`
	Restocked   int64          `json:"restocked"`
}

const printed = 20 // findings of one check that are printed; JSON has more

// Print writes the report for people.
func (r Report) Print(w io.Writer) error {
	var b strings.Builder
	mode := "while it works"
	if r.AtRest {
		mode = "at rest"
	}
	fmt.Fprintf(&b, "mesh %s, read in %s\n\n", mode, r.Took)
	for _, s := range r.Streams {
		if !s.Exists {
			fmt.Fprintf(&b, "  %-18s does not exist\n", s.Name)
			continue
		}
		fmt.Fprintf(&b, "  %-18s %9d messages\n", s.Name, s.Messages)
	}
	b.WriteByte('\n')
	for _, c := range r.Checks {
		c.write(&b)
	}
	for i, n := range r.Notes {
		if i == printed {
			fmt.Fprintf(&b, "\n  … and %d more notes\n", len(r.Notes)-printed)
			break
		}
		fmt.Fprintf(&b, "\n  note: %s %s, message %d: %s", n.Kind, n.Subject, n.Sequence, n.Text)
	}
	r.Totals.write(&b)
	if r.Clean {
		b.WriteString("\nclean: every promise held\n")
	} else {
		fmt.Fprintf(&b, "\nNOT CLEAN: %d findings\n", r.Count())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Count is the number of findings.
func (r Report) Count() int {
	n := 0
	for _, c := range r.Checks {
		n += len(c.Findings) + c.Omitted
	}
	return n
}

func (c Check) write(b *strings.Builder) {
	mark := "ok "
	if len(c.Findings) > 0 {
		mark = "BAD"
	}
	fmt.Fprintf(b, "  %s %-14s %9d  %s\n", mark, c.Name, c.Looked, c.Promise)
	for i, f := range c.Findings {
		if i == printed {
			fmt.Fprintf(b, "      … and %d more\n", len(c.Findings)+c.Omitted-printed)
			return
		}
		where := ""
		if f.Subject != "" {
			where = fmt.Sprintf(" (%s, message %d)", f.Subject, f.Sequence)
		}
		fmt.Fprintf(b, "      %s%s: expected %s, is %s\n", f.Entity, where, f.Expected, f.Is)
	}
}

func (t Totals) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n\n  orders:")
	n := 0
	for _, status := range statuses {
		if count := t.Orders[status]; count > 0 {
			fmt.Fprintf(b, " %d %s", count, status)
			n += count
		}
	}
	if n == 0 {
		b.WriteString(" none")
	}
	fmt.Fprintf(b, "; %d events, %d charges, %d dead letters\n", t.Events, t.Charges, t.DeadLetters)
	fmt.Fprintf(b, "  stock: %d on hand + %d sold = %d adjusted + %d restocked; %d reserved\n",
		t.OnHand, t.Sold, t.Adjusted, t.Restocked, t.Reserved)
}

func rounded(d time.Duration) string { return d.Round(time.Millisecond).String() }
