package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// tale is a journal of which each page is "<session> <status> <steps,…>", a second apart.
func tale(partition int, begun time.Time, pages ...string) *Journal {
	j := &Journal{Partition: partition, Begun: begun}
	for i, text := range pages {
		f := strings.Fields(text)
		page := Page{Sequence: uint64(i + 1), Stored: begun.Add(time.Duration(i+1) * time.Second), Session: f[0], Status: f[1]}
		if len(f) > 2 {
			page.Steps = strings.Split(f[2], ",")
		}
		j.Pages = append(j.Pages, page)
	}
	return j
}

func TestJournalsTellOfATakeOver(t *testing.T) {
	t.Parallel()
	zero := time.Unix(1_000_000, 0)
	died := zero.Add(2500 * time.Millisecond)
	j := NewJournals("orders", "checkout")
	j.Flows["taken"] = tale(1, zero, "a running reserve", "a running reserve,authorize", "b running", "b completed")
	j.Flows["ended"] = tale(1, zero, "a running", "a completed")
	j.Flows["elsewhere"] = tale(2, zero, "b running", "b running", "b completed")
	j.Flows["later"] = tale(1, died.Add(time.Second), "b completed")
	death := Death{Session: "a", Partitions: map[int]bool{1: true}, At: died}
	over := j.TakeOver(death, []Call{{OrderID: "taken", Heard: zero}, {OrderID: "elsewhere", Heard: died.Add(time.Millisecond)}})
	if over.Running != 2 || over.Orphans != 1 || over.Stored != 2 || len(over.Progress) != 1 ||
		over.Progress[1] != 500*time.Millisecond || over.Finished != 1500*time.Millisecond {
		t.Errorf("%+v", over)
	}
	if over = j.TakeOver(death, []Call{{OrderID: "taken", Heard: died.Add(time.Millisecond)}}); over.Progress[1] != time.Millisecond {
		t.Errorf("a step that began shows no progress: %+v", over)
	}
	if n := j.Open(); n != 0 {
		t.Errorf("%d flows are open", n)
	}
	if got := j.Trespasses("a"); len(got) != 0 {
		t.Errorf("nobody wrote what it had lost: %q", got)
	}
	j.Flows["zombie"] = tale(1, zero, "a running", "b running", "a completed")
	if got := j.Trespasses("a"); len(got) != 1 || !strings.Contains(got[0], "checkout zombie: message 3") {
		t.Errorf("the zombie's message: %q", got)
	}
	if n := j.Since("a", died); n != 1 {
		t.Errorf("%d messages by the dead, want 1", n)
	}
}

func TestRepeatsAreTold(t *testing.T) {
	t.Parallel()
	stored := map[string]bool{"reserve": true}
	call := func(order, step, caller string) Call { return Call{OrderID: order, Step: step, Caller: caller} }
	calls := []Call{
		call("o1", "reserve", "dead"), call("o1", "authorize", "dead"), call("o1", "authorize", "home"),
		call("o1", "authorize", "home"), call("o2", "capture", "home"),
	}
	storedOf := func(string) map[string]bool { return stored }
	if r := repeats(calls, "home", storedOf); r.Steps != 1 || r.Most != 1 || len(r.Broken) != 0 {
		t.Errorf("a step under way may be repeated: %+v", r)
	}
	calls = append(calls, call("o1", "reserve", "home"), call("o1", "authorize", "third"))
	r := repeats(calls, "home", storedOf)
	if r.Steps != 2 || r.Most != 2 || len(r.Broken) != 2 || !slices.ContainsFunc(r.Broken, func(s string) bool { return strings.Contains(s, "reserve was stored") }) {
		t.Errorf("a stored step was repeated and a third process called: %+v", r)
	}
}
