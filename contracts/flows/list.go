package flows

import (
	"strconv"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// longestAge bounds the ages that a list can be asked for.
const longestAge = 100 * 365 * 24 * time.Hour

// ListFlows asks for a page of instances, those that started last first. The empty
// value of a filter lets everything pass. Ages are durations such as "90s", "36h" or
// "1h30m", counted from when the request arrives.
type ListFlows struct {
	Service       string    `json:"service,omitzero"`
	Flow          string    `json:"flow,omitzero"`
	Status        Status    `json:"status,omitzero"`
	OlderThan     string    `json:"older_than,omitzero"`     // started longer ago than this
	YoungerThan   string    `json:"younger_than,omitzero"`   // started not longer ago than this
	StartedBefore time.Time `json:"started_before,omitzero"` // instead of older_than
	StartedAfter  time.Time `json:"started_after,omitzero"`  // instead of younger_than
	Limit         int       `json:"limit,omitzero"`
	Cursor        string    `json:"cursor,omitzero"`
}

// Validate refuses malformed filters and pages.
func (r ListFlows) Validate() error {
	for _, f := range []struct{ field, value string }{{"/service", r.Service}, {"/flow", r.Flow}} {
		if f.value == "" {
			continue
		}
		if err := contract.CheckID(f.field, f.value); err != nil {
			return err
		}
	}
	if r.Status != "" && !r.Status.Known() {
		return contract.ErrInvalid.At("/status").Sayf("status %s is not one of %s", strconv.Quote(cut(string(r.Status))), names())
	}
	if _, _, err := r.Started(time.Time{}); err != nil {
		return err
	}
	return page.Check(r.Limit, r.Cursor)
}

// Started is the range of start times that is asked for at a moment: from is
// included, to is not, and a zero time is no bound.
func (r ListFlows) Started(now time.Time) (from, to time.Time, err error) {
	if to, err = bound("older_than", r.OlderThan, "started_before", r.StartedBefore, now); err != nil {
		return from, to, err
	}
	from, err = bound("younger_than", r.YoungerThan, "started_after", r.StartedAfter, now)
	return from, to, err
}

// bound is one end of the range, given as an age or as a time.
func bound(ageName, age, timeName string, at, now time.Time) (time.Time, error) {
	switch {
	case age == "":
		return at, nil
	case !at.IsZero():
		return at, contract.ErrInvalid.At("/"+timeName).Sayf("%s and %s say the same: send one of them", ageName, timeName)
	}
	d, err := time.ParseDuration(age)
	if err != nil || d <= 0 || d > longestAge {
		return at, contract.ErrInvalid.At("/"+ageName).Sayf("%s must be a duration such as 90s or 36h, more than 0 and at most 100 years", ageName)
	}
	return now.Add(-d), nil
}

func names() string {
	list := Statuses()
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = string(s)
	}
	return strings.Join(text, ", ")
}

func cut(s string) string { return s[:min(len(s), 40)] }

// Instances is one page of instances, without steps, inputs and results.
type Instances struct {
	Flows      []Instance `json:"flows"`
	NextCursor string     `json:"next_cursor,omitzero"` // absent on the last page
	Behind     uint64     `json:"behind"`               // messages that this view has not seen yet
	Forgotten  uint64     `json:"forgotten,omitzero"`   // ended instances that the view has dropped; get still finds them
}
