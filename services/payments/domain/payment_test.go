package domain_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/spec"
	"github.com/ordermesh/ordermesh/services/payments/domain"
)

func TestPayment(t *testing.T) {
	t.Parallel()
	type given = []payments.Event
	amount := money.New(2598, "EUR")
	authorized := payments.PaymentAuthorized{PaymentID: "ch_7", Amount: amount}
	declined := payments.PaymentDeclined{PaymentID: "ch_7", Reason: "card_declined"}
	captured := payments.PaymentCaptured{Amount: amount}
	voided := payments.PaymentVoided{}
	refunded := payments.PaymentRefunded{Amount: amount}
	half := payments.PaymentRefunded{RefundID: "r1", Amount: money.New(1299, "EUR")}
	rest := payments.PaymentRefunded{RefundID: "r2", Amount: money.New(1299, "EUR")}
	free := payments.PaymentAuthorized{PaymentID: "ch_8", Amount: money.New(0, "EUR")}
	nothing := payments.PaymentCaptured{Amount: money.New(0, "EUR")}
	spec.Run(t, domain.Decide, domain.Evolve, []spec.Case[domain.Command, payments.Event]{
		{Name: "money is reserved", When: domain.Authorize(authorized), Then: given{authorized}},
		{Name: "it is reserved once", Given: given{authorized}, When: domain.Authorize(authorized)},
		{Name: "another amount is another payment", Given: given{authorized}, When: domain.Authorize{PaymentID: "ch_7", Amount: money.New(1, "EUR")}, Err: payments.ErrDiffers},
		{Name: "another charge is another payment", Given: given{authorized}, When: domain.Authorize{PaymentID: "ch_9", Amount: amount}, Err: payments.ErrDiffers},
		{Name: "a void payment reserves nothing", Given: given{voided}, When: domain.Authorize(authorized), Err: payments.ErrVoided},
		{Name: "a declined payment stays declined", Given: given{declined}, When: domain.Authorize(authorized)},

		{Name: "the provider declines", When: domain.Decline(declined), Then: given{declined}},
		{Name: "it declines once", Given: given{declined}, When: domain.Decline(declined)},
		{Name: "what is reserved is not declined", Given: given{authorized}, When: domain.Decline(declined), Err: payments.ErrDiffers},

		{Name: "reserved money is taken", Given: given{authorized}, When: domain.Capture{}, Then: given{captured}},
		{Name: "it is taken once", Given: given{authorized, captured}, When: domain.Capture{}},
		{Name: "nothing is taken of a void payment", Given: given{authorized, voided}, When: domain.Capture{}, Err: payments.ErrVoided},
		{Name: "nothing is taken of a declined payment", Given: given{declined}, When: domain.Capture{}, Err: payments.ErrDeclined},
		{Name: "nothing is taken of no payment", When: domain.Capture{}, Err: payments.ErrUnknown},
		{Name: "refunded money is not taken again", Given: given{authorized, captured, refunded}, When: domain.Capture{}},

		{Name: "reserved money is given back", Given: given{authorized}, When: domain.Void{}, Then: given{voided}},
		{Name: "it is given back once", Given: given{authorized, voided}, When: domain.Void{}},
		{Name: "a payment is void before it comes", When: domain.Void{}, Then: given{voided}},
		{Name: "a declined payment has nothing to give back", Given: given{declined}, When: domain.Void{}},
		{Name: "taken money is refunded, not voided", Given: given{authorized, captured}, When: domain.Void{}, Err: payments.ErrCaptured},

		{Name: "taken money is given back", Given: given{authorized, captured}, When: domain.Refund{Minor: 2598}, Then: given{refunded}},
		{Name: "it is given back in parts", Given: given{authorized, captured}, When: domain.Refund{ID: "r1", Minor: 1299}, Then: given{half}},
		{Name: "each part once", Given: given{authorized, captured, half}, When: domain.Refund{ID: "r1", Minor: 1299}},
		{Name: "also when everything is given back", Given: given{authorized, captured, half, rest}, When: domain.Refund{ID: "r1", Minor: 1299}},
		{Name: "a part does not change", Given: given{authorized, captured, half}, When: domain.Refund{ID: "r1", Minor: 1}, Err: payments.ErrRefund},
		{Name: "the rest is given back", Given: given{authorized, captured, half}, When: domain.Refund{ID: "r2", Minor: 1299}, Then: given{rest}},
		{Name: "no more is given back than is left", Given: given{authorized, captured, half}, When: domain.Refund{ID: "r2", Minor: 1300}, Err: payments.ErrTooMuch},
		{Name: "nor when nothing is left", Given: given{authorized, captured, half, rest}, When: domain.Refund{ID: "r3", Minor: 1}, Err: payments.ErrTooMuch},
		{Name: "nothing is not given back", Given: given{authorized, captured}, When: domain.Refund{ID: "r1"}, Err: payments.ErrTooMuch},
		{Name: "nothing negative is given back", Given: given{authorized, captured}, When: domain.Refund{Minor: -1}, Err: payments.ErrTooMuch},
		{Name: "everything is given back once", Given: given{authorized, captured, refunded}, When: domain.Refund{Minor: 2598}},
		{Name: "money that is only reserved is not refunded", Given: given{authorized}, When: domain.Refund{Minor: 1}, Err: payments.ErrNotCaptured},
		{Name: "no payment is not refunded", When: domain.Refund{Minor: 1}, Err: payments.ErrUnknown},
		{Name: "a free order is refunded, too", Given: given{free, nothing}, When: domain.Refund{}, Then: given{payments.PaymentRefunded{Amount: money.New(0, "EUR")}}},
	})
}

func FuzzPayment(f *testing.F) {
	f.Add([]byte{0, 5, 2, 0, 4, 3, 4, 2})
	f.Add([]byte{3, 0, 0, 5, 2, 0})
	f.Fuzz(paymentHistory)
}

func TestRandomPaymentHistories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		history := make([]byte, 30)
		for i := range history {
			history[i] = byte(random.Uint32())
		}
		paymentHistory(t, history)
	}
}

// paymentHistory checks the books: no more captured than authorized, no more
// refunded than captured, and nothing captured of a void or declined payment.
func paymentHistory(t *testing.T, history []byte) {
	t.Helper()
	var p domain.Payment
	var captured, refunded int64
	var authorized money.Amount
	var captures int
	for step := range slices.Chunk(history, 2) {
		if len(step) < 2 {
			return
		}
		n := int64(int8(step[1]))
		if step[1] == 127 {
			n = math.MaxInt64
		}
		command := []domain.Command{
			domain.Authorize{PaymentID: "ch_7", Amount: money.New(max(n, 0), "EUR")}, domain.Decline{Reason: "no"},
			domain.Capture{}, domain.Void{}, domain.Refund{ID: string("abc"[step[0]%3]), Minor: n},
		}[step[0]%5]
		events, err := domain.Decide(p, command)
		if err != nil && len(events) > 0 {
			t.Fatalf("%+v: refused and done", command)
		}
		for _, e := range events {
			before := p.Status
			p = domain.Evolve(p, e)
			switch e := e.(type) {
			case payments.PaymentAuthorized:
				authorized = e.Amount
			case payments.PaymentCaptured:
				captured += e.Amount.Minor
				captures++
			case payments.PaymentRefunded:
				refunded += e.Amount.Minor
			case payments.PaymentVoided, payments.PaymentDeclined:
			}
			if before == payments.Voided || before == payments.Declined || before == payments.Refunded {
				t.Fatalf("%+v changed a %s payment", command, before)
			}
		}
		if captured > authorized.Minor || captures > 1 || refunded > captured || refunded < 0 {
			t.Fatalf("authorized %s, captured %d in %d times, refunded %d", authorized, captured, captures, refunded)
		}
		if p.Captured != captured || p.Refunded != refunded {
			t.Fatalf("state %+v, but captured %d and refunded %d", p, captured, refunded)
		}
	}
}
