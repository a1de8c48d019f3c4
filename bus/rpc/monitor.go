package rpc

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// monitorBacklog is how many $SRV requests may wait: everybody asks at once at most.
const monitorBacklog = 256

// monitorSubjects lists what $SRV asks of this instance: all services, this
// service, this instance, for each verb.
func (s *Server) monitorSubjects() ([]string, error) {
	var subjects []string
	for _, verb := range []micro.Verb{micro.PingVerb, micro.InfoVerb, micro.StatsVerb} {
		for _, who := range [][2]string{{"", ""}, {s.desc.Name, ""}, {s.desc.Name, s.id}} {
			subject, err := micro.ControlSubject(verb, who[0], who[1])
			if err != nil {
				return nil, fmt.Errorf("rpc: %w", err)
			}
			subjects = append(subjects, subject)
		}
	}
	return subjects, nil
}

// monitor answers $SRV requests until the channel is closed.
func (s *Server) monitor(requests <-chan *nats.Msg) {
	for msg := range requests {
		body, err := json.Marshal(s.describe(msg.Subject)) // micro's types are made for encoding/json
		if err == nil && msg.Reply != "" && replyable(msg.Reply) {
			err = s.conn.NATS().Publish(msg.Reply, body)
		}
		if err != nil {
			s.tel.Logger.Warn("a $SRV request could not be answered",
				telemetry.KeySubject, msg.Subject, telemetry.KeyError, err.Error())
		}
	}
}

func (s *Server) describe(subject string) any {
	_, rest, _ := strings.Cut(subject, ".")
	verb, _, _ := strings.Cut(rest, ".")
	switch verb {
	case micro.InfoVerb.String():
		return s.info()
	case micro.StatsVerb.String():
		return s.stats()
	default:
		return micro.Ping{ServiceIdentity: s.identity(), Type: micro.PingResponseType}
	}
}

func (s *Server) identity() micro.ServiceIdentity {
	version := s.desc.Version
	if version == "" {
		version = "0.0.0"
	}
	return micro.ServiceIdentity{Name: s.desc.Name, ID: s.id, Version: version, Metadata: map[string]string{}}
}

func (s *Server) info() micro.Info {
	info := micro.Info{ServiceIdentity: s.identity(), Type: micro.InfoResponseType, Description: s.desc.Doc}
	for _, e := range s.endpoints {
		info.Endpoints = append(info.Endpoints, e.micro(s.desc.Name))
	}
	return info
}

// statistics are micro's, and what parts of the service report beside them.
type statistics struct {
	micro.Stats
	Reports map[string]any `json:"reports,omitempty"`
}

func (s *Server) stats() statistics {
	stats := micro.Stats{ServiceIdentity: s.identity(), Type: micro.StatsResponseType, Started: s.started}
	for _, e := range s.endpoints {
		stats.Endpoints = append(stats.Endpoints, e.stats(s.desc.Name))
	}
	return statistics{stats, s.conn.Reports()}
}
