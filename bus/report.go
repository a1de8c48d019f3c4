package bus

import "maps"

// Report has a part of the connection's user tell about itself whenever somebody asks,
// until stop is called: f's answer becomes JSON, and must not wait for anything. A name
// such as "view.order" stands for its last report.
func (c *Conn) Report(name string, f func() any) (stop func()) {
	report := &f
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reports == nil {
		c.reports = map[string]*func() any{}
	}
	c.reports[name] = report
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.reports[name] == report {
			delete(c.reports, name)
		}
	}
}

// Reports asks every part that reports.
func (c *Conn) Reports() map[string]any {
	c.mu.Lock()
	asked := maps.Clone(c.reports)
	c.mu.Unlock()
	answers := make(map[string]any, len(asked))
	for name, f := range asked {
		answers[name] = (*f)()
	}
	return answers
}
