package sandbox

import (
	"context"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// A charge's id is its key with this before it: the provider needs no second index.
const chargePrefix = "ch_"

const flakyFailures = 2

var (
	errFlaky   = contract.ErrUnavailable.Sayf("the provider has trouble; try again")
	errKeyLong = contract.ErrInvalid.At("/key").Sayf("key must be at most %d characters", contract.MaxID-len(chargePrefix))
)

// ProviderConfig of a Provider. The zero value works.
type ProviderConfig struct {
	Settings func() sandbox.ProviderSettings // asked for each call; nil are the defaults
}

// Provider is the payment provider.
type Provider struct {
	cfg    ProviderConfig
	book   *book
	server *rpc.Server
	end    chan struct{} // closed when Run is asked to end

	mu    sync.Mutex
	flaky map[string]int // failures so far, by key
}

// NewProvider builds the provider on a connection and starts nothing.
func NewProvider(conn *bus.Conn, cfg ProviderConfig) (*Provider, error) {
	if cfg.Settings == nil {
		cfg.Settings = config.Fixed(config.Defaults[sandbox.ProviderSettings]())
	}
	server, err := rpc.NewServer(conn, sandbox.Provider)
	if err != nil {
		return nil, err
	}
	end := make(chan struct{})
	now := func() mood {
		s := cfg.Settings()
		return mood{s.Latency, s.Trouble, end}
	}
	p := &Provider{cfg: cfg, book: newBook(conn, sandbox.ProviderBook), server: server, end: end, flaky: map[string]int{}}
	rpc.Handle(server, sandbox.Authorize, behave(now, p.authorize))
	rpc.Handle(server, sandbox.Capture, behave(now, p.capture))
	rpc.Handle(server, sandbox.Void, behave(now, p.void))
	rpc.Handle(server, sandbox.Refund, behave(now, p.refund))
	rpc.Handle(server, sandbox.QueryCharge, behave(now, p.query))
	rpc.Handle(server, sandbox.ListCharges, behave(now, p.list))
	return p, nil
}

// Run waits for the book and serves until ctx ends, then drains.
func (p *Provider) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { close(p.end) })()
	if err := p.book.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return p.server.Run(ctx)
}

// Ready is closed once the provider answers.
func (p *Provider) Ready() <-chan struct{} { return p.server.Ready() }

func (p *Provider) authorize(ctx context.Context, req sandbox.AuthorizeCharge) (sandbox.Charge, error) {
	if len(req.Key) > contract.MaxID-len(chargePrefix) {
		return sandbox.Charge{}, errKeyLong
	}
	if req.Token == sandbox.TokenFlaky && p.fails(req.Key) {
		return sandbox.Charge{}, errFlaky
	}
	record := sandbox.ChargeRecord{
		ChargeID: chargePrefix + req.Key, Key: req.Key, OrderID: req.OrderID, Amount: req.Amount, At: time.Now().UTC(),
	}
	record.Status, record.Reason = verdict(req.Token)
	created, err := p.book.create(ctx, sandbox.ChargeKeyIn(req.Key), record)
	if err != nil {
		return sandbox.Charge{}, err
	}
	failpoint.Hit("provider.charged")
	if req.Token == sandbox.TokenTimeout {
		return sandbox.Charge{}, hang(ctx, p.end)
	}
	if !created {
		record = sandbox.ChargeRecord{}
		if found, err := p.book.read(ctx, sandbox.ChargeKeyIn(req.Key), &record); err != nil || !found {
			return sandbox.Charge{}, orUnavailable(err)
		}
		if record.OrderID != req.OrderID || record.Amount != req.Amount {
			return sandbox.Charge{}, sandbox.ErrChargeKey
		}
	}
	return p.state(ctx, record)
}

// verdict decides by the token.
func verdict(token string) (sandbox.ChargeStatus, string) {
	switch token {
	case sandbox.TokenOK, sandbox.TokenFlaky, sandbox.TokenTimeout:
		return sandbox.ChargeAuthorized, ""
	case sandbox.TokenDeclined:
		return sandbox.ChargeDeclined, "card_declined"
	}
	return sandbox.ChargeDeclined, "unknown_card"
}

// fails counts the first failures of a key. The count is this process's own.
func (p *Provider) fails(key string) bool {
	const kept = 1 << 16
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flaky[key] >= flakyFailures {
		return false
	}
	if len(p.flaky) >= kept {
		clear(p.flaky)
	}
	p.flaky[key]++
	return true
}

// charge reads the record of a charge by its id.
func (p *Provider) charge(ctx context.Context, id string) (sandbox.ChargeRecord, error) {
	var record sandbox.ChargeRecord
	if len(id) <= len(chargePrefix) || id[:len(chargePrefix)] != chargePrefix {
		return record, sandbox.ErrNoCharge
	}
	found, err := p.book.read(ctx, sandbox.ChargeKeyIn(id[len(chargePrefix):]), &record)
	if err == nil && !found {
		err = sandbox.ErrNoCharge
	}
	return record, err
}

// settle settles a charge that was not settled yet, and returns how it is settled.
func (p *Provider) settle(ctx context.Context, id string, status sandbox.ChargeStatus) (sandbox.ChargeStatus, error) {
	record := sandbox.SettleRecord{ChargeID: id, Status: status, At: time.Now().UTC()}
	created, err := p.book.create(ctx, sandbox.SettleKeyIn(id), record)
	if err != nil || created {
		return status, err
	}
	found, err := p.book.read(ctx, sandbox.SettleKeyIn(id), &record)
	if err != nil || !found {
		return "", orUnavailable(err)
	}
	return record.Status, nil
}

func (p *Provider) capture(ctx context.Context, req sandbox.ChargeRef) (sandbox.Charge, error) {
	record, err := p.charge(ctx, req.ChargeID)
	switch {
	case err != nil:
		return sandbox.Charge{}, err
	case record.Status != sandbox.ChargeAuthorized:
		return sandbox.Charge{}, sandbox.ErrNotCapture
	}
	settled, err := p.settle(ctx, req.ChargeID, sandbox.ChargeCaptured)
	switch {
	case err != nil:
		return sandbox.Charge{}, err
	case settled != sandbox.ChargeCaptured:
		return sandbox.Charge{}, sandbox.ErrNotCapture
	}
	failpoint.Hit("provider.captured")
	return chargeOf(record, settled), nil
}

// void also makes a charge impossible that was not made yet.
func (p *Provider) void(ctx context.Context, req sandbox.ChargeKey) (sandbox.Charge, error) {
	if len(req.Key) > contract.MaxID-len(chargePrefix) {
		return sandbox.Charge{}, errKeyLong
	}
	record := sandbox.ChargeRecord{ChargeID: chargePrefix + req.Key, Key: req.Key}
	if _, err := p.book.read(ctx, sandbox.ChargeKeyIn(req.Key), &record); err != nil {
		return sandbox.Charge{}, err
	}
	if record.Status == sandbox.ChargeDeclined {
		return chargeOf(record, ""), nil
	}
	settled, err := p.settle(ctx, record.ChargeID, sandbox.ChargeVoided)
	switch {
	case err != nil:
		return sandbox.Charge{}, err
	case settled != sandbox.ChargeVoided:
		return sandbox.Charge{}, sandbox.ErrNotVoid
	}
	failpoint.Hit("provider.voided")
	return chargeOf(record, settled), nil
}

func (p *Provider) query(ctx context.Context, req sandbox.ChargeKey) (sandbox.Charge, error) {
	record, err := p.charge(ctx, chargePrefix+req.Key)
	if err != nil {
		return sandbox.Charge{}, err
	}
	return p.state(ctx, record)
}

// state reads how a charge was settled and what was given back.
func (p *Provider) state(ctx context.Context, record sandbox.ChargeRecord) (sandbox.Charge, error) {
	if record.Status != sandbox.ChargeAuthorized {
		return chargeOf(record, ""), nil
	}
	var settled sandbox.SettleRecord
	if _, err := p.book.ask(ctx, sandbox.SettleKeyIn(record.ChargeID), &settled); err != nil { // rarely there
		return sandbox.Charge{}, err
	}
	if settled.Status != sandbox.ChargeCaptured {
		return chargeOf(record, settled.Status), nil
	}
	refunds, err := p.refunds(ctx, record)
	if err != nil {
		return sandbox.Charge{}, err
	}
	return withRefunds(chargeOf(record, settled.Status), refunds), nil
}

func chargeOf(record sandbox.ChargeRecord, settled sandbox.ChargeStatus) sandbox.Charge {
	c := sandbox.Charge{ChargeID: record.ChargeID, Status: record.Status, Amount: record.Amount, Reason: record.Reason}
	if settled != "" {
		c.Status = settled
	}
	return c
}

// orUnavailable is the error of a record that must exist and was not found.
func orUnavailable(err error) error {
	if err != nil {
		return err
	}
	return contract.ErrUnavailable
}
