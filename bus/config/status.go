package config

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	reportEvery = 3 * time.Second
	reportLife  = 10 * time.Second      // a killed instance is shown so long
	reportPause = 50 * time.Millisecond // between two reports at least
	refusedLife = 7 * 24 * time.Hour

	instances = ".instance." // keys of the bucket: <service>.instance.<id>
	refusals  = ".refused."  // <service>.refused.<setting>
	documents = ".policy."   // <service>.policy.<name>.<id>
	unusable  = ".policy_refused."

	keyRevision = "revision"
)

// Instance is what an instance of a service tells about its settings, or about one of its
// documents.
type Instance struct {
	Service  string    `json:"service"`
	Document string    `json:"document,omitzero"` // the document's name
	Instance string    `json:"instance"`
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Revision uint64    `json:"revision"` // of the bucket's last change to the service, or the document, that it has looked at
	Verified time.Time `json:"verified"` // when that was last compared with the bucket
	Settings []Running `json:"settings,omitempty"`
	Runs     uint64    `json:"runs,omitzero"` // revision of the document that is in force; 0 is the fallback
	Refused  []Refusal `json:"refused"`

	Reported time.Time `json:"reported,omitzero"` // when this was told; set by who reads it
}

// Running is a setting as an instance runs it.
type Running struct {
	Name  string `json:"name"`
	Value string `json:"value"` // "[secret]" for a secret that is there
	From  Layer  `json:"from"`
	Where string `json:"where,omitzero"`
}

func reported(s contract.Setting, v Value) Running {
	r := Running{Name: s.Name, Value: v.Text, From: v.Layer, Where: v.Where}
	if s.Type == contract.SettingSecret && !v.secret.IsZero() {
		r.Value = v.secret.String()
	}
	return r
}

// report writes what this instance runs into the bucket of reports: at once when it has
// changed, and now and then, because a report goes when it is not renewed.
func (w *watch) report(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.leave()
			return nil
		case <-tick.C:
		case <-w.wake:
		}
		if err := w.write(ctx); err != nil && ctx.Err() == nil {
			w.conn.Telemetry().Logger.DebugContext(ctx, "the report about "+w.all+" was not stored", telemetry.KeyError, err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(reportPause):
		}
	}
}

func (w *watch) write(ctx context.Context) error {
	status := w.status()
	if err := w.put(ctx, w.reports+status.Instance, status, reportLife); err != nil {
		return err
	}
	for _, r := range w.refusalsToTell() {
		if name := strings.TrimPrefix(r.Key, w.service+"."); !strings.ContainsFunc(name, unprintable) {
			if err := w.put(ctx, w.refusals+name, r, refusedLife); err != nil {
				return err
			}
		}
		w.told(r)
	}
	return nil
}

// refusalsToTell are those that nobody has written down yet, also when they are over.
func (w *watch) refusalsToTell() []Refusal {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.untold))
}

func (w *watch) told(r Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.untold[r.Key] == r {
		delete(w.untold, r.Key)
	}
}

// unprintable finds what a key of a bucket cannot have.
func unprintable(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-/_=.", r)
}

// put writes a key that goes after a time. The client library has no way to rewrite a key
// with a new time to live, so the message is written by hand.
func (w *watch) put(ctx context.Context, key string, v any, life time.Duration) error {
	data, err := contract.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err = w.conn.JetStream().Publish(ctx, "$KV."+contract.ConfigStatusKV+"."+key, data, jetstream.WithMsgTTL(life))
	return err
}

// leave takes the report back when the instance ends.
func (w *watch) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	kv, err := w.conn.JetStream().KeyValue(ctx, contract.ConfigStatusKV)
	if err != nil {
		return // it goes by itself
	}
	_ = kv.Purge(ctx, w.reports+w.self.Instance, jetstream.PurgeTTL(reportLife))
}

// meters are what Prometheus sees.
type meters struct {
	revision, refused, age      prometheus.Gauge
	changes, refusals, restarts prometheus.Counter
}

func newMeters(t *telemetry.Telemetry, s scope) meters {
	prefix, labels, values := s.bucket, []string{"service"}, []string{s.service}
	if s.document != "" {
		labels, values = append(labels, s.one), append(values, s.document)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return t.Gauge(prefix+name, help, labels...).WithLabelValues(values...)
	}
	counter := func(name, help string) prometheus.Counter {
		return t.Counter(prefix+name, help, labels...).WithLabelValues(values...)
	}
	return meters{
		revision: gauge("_revision", "Revision of the bucket "+s.bucket+" that the instance runs."),
		refused:  gauge("_refused_"+s.all, "Values in the bucket "+s.bucket+" that cannot be used now."),
		age:      gauge("_age_seconds", "Time since the "+s.all+" were known to be those of the bucket."),
		changes:  counter("_changes_total", "Changes of "+s.all+" that took effect."),
		refusals: counter("_refusals_total", "Values in the bucket "+s.bucket+" that were refused."),
		restarts: counter("_rereads_total", "Times that the bucket "+s.bucket+" had to be read again after something broke."),
	}
}

// age keeps the metric of that name up to date.
func (w *watch) age(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			w.mu.Lock()
			age := now.Sub(w.verified)
			w.mu.Unlock()
			w.meters.age.Set(age.Seconds())
		}
	}
}
