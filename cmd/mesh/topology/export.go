package topology

import (
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// ManifestAPI is the API of NACK, the JetStream controller for Kubernetes.
const ManifestAPI = "jetstream.nats.io/v1beta2"

// Manifest is one resource of NACK.
type Manifest struct {
	APIVersion string       `yaml:"apiVersion"`
	Kind       string       `yaml:"kind"`
	Metadata   manifestMeta `yaml:"metadata"`
	Spec       any          `yaml:"spec"`
}

type manifestMeta struct {
	Name      string            `yaml:"name"`
	Namespace string            `yaml:"namespace,omitempty"`
	Labels    map[string]string `yaml:"labels"`
}

// manifestPlace is how NACK finds the servers: an Account resource, or the settings of
// the controller itself when there is none.
type manifestPlace struct {
	Account       string `yaml:"account,omitempty"`
	PreventDelete bool   `yaml:"preventDelete"` // a resource that is deleted leaves the messages alone
}

type streamManifest struct {
	Name                   string            `yaml:"name"`
	Subjects               []string          `yaml:"subjects"`
	Retention              string            `yaml:"retention"`
	Storage                string            `yaml:"storage"`
	Replicas               int               `yaml:"replicas"`
	Discard                string            `yaml:"discard"`
	MaxAge                 string            `yaml:"maxAge,omitempty"`
	MaxMsgsPerSubject      int64             `yaml:"maxMsgsPerSubject,omitempty"`
	DenyDelete             bool              `yaml:"denyDelete,omitempty"`
	AllowDirect            bool              `yaml:"allowDirect,omitempty"`
	AllowRollup            bool              `yaml:"allowRollup,omitempty"`
	AllowMsgTTL            bool              `yaml:"allowMsgTtl,omitempty"`
	AllowMsgSchedules      bool              `yaml:"allowMsgSchedules,omitempty"`
	SubjectDeleteMarkerTTL string            `yaml:"subjectDeleteMarkerTtl,omitempty"`
	Metadata               map[string]string `yaml:"metadata,omitempty"`
	manifestPlace          `yaml:",inline"`
}

type consumerManifest struct {
	StreamName     string            `yaml:"streamName"`
	DurableName    string            `yaml:"durableName"`
	Description    string            `yaml:"description,omitempty"`
	FilterSubject  string            `yaml:"filterSubject"`
	DeliverPolicy  string            `yaml:"deliverPolicy"`
	AckPolicy      string            `yaml:"ackPolicy"`
	AckWait        string            `yaml:"ackWait"`
	MaxDeliver     int               `yaml:"maxDeliver"`
	MaxAckPending  int               `yaml:"maxAckPending"`
	PriorityPolicy string            `yaml:"priorityPolicy,omitempty"`
	PriorityGroups []string          `yaml:"priorityGroups,omitempty"`
	PinnedTTL      string            `yaml:"pinnedTtl,omitempty"`
	Metadata       map[string]string `yaml:"metadata,omitempty"`
	manifestPlace  `yaml:",inline"`
}

type bucketManifest struct {
	Bucket         string `yaml:"bucket"`
	History        int64  `yaml:"history,omitempty"`
	LimitMarkerTTL int64  `yaml:"limitMarkerTtl,omitempty"` // nanoseconds
	Storage        string `yaml:"storage"`
	Replicas       int    `yaml:"replicas"`
	manifestPlace  `yaml:",inline"`
}

// Exporter writes what the services need as manifests.
type Exporter struct {
	Namespace, Account string // "" for none
	Replicas           int
}

// Write writes manifests as one stream of documents.
func Write(w io.Writer, manifests []Manifest) error {
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	for _, m := range manifests {
		if err := encoder.Encode(m); err != nil {
			return fmt.Errorf("write %s %s: %w", m.Kind, m.Metadata.Name, err)
		}
	}
	return encoder.Close()
}

// Manifests describes every stream, bucket and consumer that the services need.
func (e *Exporter) Manifests(services ...contract.Service) []Manifest {
	var list []Manifest
	for _, spec := range contract.Streams(services...) {
		list = append(list, e.stream(spec))
	}
	for _, spec := range contract.Consumers(services...) {
		list = append(list, e.consumer(spec))
	}
	return list
}

func (e *Exporter) place() manifestPlace {
	return manifestPlace{Account: e.Account, PreventDelete: true}
}

func (e *Exporter) resource(kind, name string, spec any) Manifest {
	return Manifest{ManifestAPI, kind, manifestMeta{
		Name: resourceName(name), Namespace: e.Namespace, Labels: map[string]string{"app.kubernetes.io/part-of": "ordermesh"},
	}, spec}
}

func (e *Exporter) stream(spec contract.StreamSpec) Manifest {
	cfg := bus.StreamConfig(spec, e.Replicas)
	storage := strings.ToLower(cfg.Storage.String())
	switch {
	case spec.KV:
		return e.resource("KeyValue", "kv-"+spec.Name, bucketManifest{
			Bucket: spec.Name, History: cfg.MaxMsgsPerSubject, LimitMarkerTTL: int64(spec.MarkerTTL),
			Storage: storage, Replicas: cfg.Replicas, manifestPlace: e.place(),
		})
	case spec.Objects:
		return e.resource("ObjectStore", "obj-"+spec.Name, bucketManifest{
			Bucket: spec.Name, Storage: storage, Replicas: cfg.Replicas, manifestPlace: e.place(),
		})
	}
	return e.resource("Stream", spec.Name, streamManifest{
		Name: cfg.Name, Subjects: cfg.Subjects, Retention: strings.ToLower(cfg.Retention.String()), Storage: storage,
		Replicas: cfg.Replicas, Discard: discardName(cfg.Discard), MaxAge: durationText(cfg.MaxAge), MaxMsgsPerSubject: cfg.MaxMsgsPerSubject,
		DenyDelete: cfg.DenyDelete, AllowDirect: cfg.AllowDirect, AllowRollup: cfg.AllowRollup, AllowMsgTTL: cfg.AllowMsgTTL,
		AllowMsgSchedules: cfg.AllowMsgSchedules, SubjectDeleteMarkerTTL: durationText(cfg.SubjectDeleteMarkerTTL),
		Metadata: cfg.Metadata, manifestPlace: e.place(),
	})
}

func (e *Exporter) consumer(spec contract.ConsumerSpec) Manifest {
	cfg := bus.ConsumerConfig(spec)
	return e.resource("Consumer", spec.Stream+"-"+spec.Name, consumerManifest{
		StreamName: spec.Stream, DurableName: cfg.Durable, Description: cfg.Description, FilterSubject: cfg.FilterSubject,
		DeliverPolicy: cfg.DeliverPolicy.String(), AckPolicy: strings.TrimPrefix(strings.ToLower(cfg.AckPolicy.String()), "ack"),
		AckWait: cfg.AckWait.String(), MaxDeliver: cfg.MaxDeliver, MaxAckPending: cfg.MaxAckPending,
		PriorityPolicy: priorityName(cfg.PriorityPolicy), PriorityGroups: cfg.PriorityGroups, PinnedTTL: durationText(cfg.PinnedTTL),
		Metadata: cfg.Metadata, manifestPlace: e.place(),
	})
}

// durationText writes a duration as NACK reads it; none is nothing.
func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// resourceName turns a name of ours into one that Kubernetes accepts.
func resourceName(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r == '_' {
			return '-'
		}
		return r
	}, strings.ToLower(name)), "-")
}
