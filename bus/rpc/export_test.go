package rpc

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Execute runs one message through the server's whole decode path, without a
// connection.
func Execute[Req, Resp any](msg *nats.Msg, m contract.Method[Req, Resp], h func(context.Context, Req) (Resp, error)) ([]byte, *contract.Error) {
	s := &Server{
		desc:      contract.Service{Name: m.Info().Service, Serves: []contract.MethodInfo{m.Info()}},
		bySubject: map[string]*endpoint{}, tel: telemetry.Nop(), work: context.Background(), epoch: time.Now(),
	}
	s.metrics = newServerMetrics(s.tel)
	Handle(s, m, h)
	body, err := s.execute(s.stamp(msg), 0)
	return body, contract.AsError(err)
}
