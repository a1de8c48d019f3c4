package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// problem is an error as HTTP says it: that of a service, or one that only HTTP knows, whose
// status then says more than its code.
type problem struct {
	status int
	*contract.Error
}

// refuse is a request that HTTP itself does not allow: its code is invalid.
func refuse(status int, reason, format string, args ...any) *problem {
	return &problem{status, contract.NewError(contract.Invalid, reason, fmt.Sprintf(format, args...))}
}

// at is the same with a member that is to blame.
func (p *problem) at(field string) *problem { return &problem{p.status, p.At(field)} }

// problemOf says an error of a service or of the way to it.
func problemOf(err error) *problem {
	e := contract.AsError(err)
	if e.Code == contract.Internal { // what it says may be about the inside
		e = contract.NewError(contract.Internal, contract.ErrInternal.Reason, contract.ErrInternal.Message)
	}
	return &problem{int(e.Code), e}
}

// problemBody is RFC 9457 with the members that errors have on NATS.
type problemBody struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	Code         string `json:"code"`
	Reason       string `json:"reason"`
	Field        string `json:"field,omitzero"`
	RetryAfterMS int64  `json:"retry_after_ms,omitzero"`
	RequestID    string `json:"request_id"`
}

func (p *problem) body(requestID string) []byte {
	body, err := contract.Marshal(problemBody{
		Type: "about:blank", Title: http.StatusText(p.status), Status: p.status, Detail: p.Message,
		Code: p.Code.String(), Reason: p.Reason, Field: p.Field, RetryAfterMS: p.RetryAfter.Milliseconds(), RequestID: requestID,
	})
	if err != nil { // only invalid UTF-8 can do this
		return []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal","reason":"internal","detail":"the error cannot be shown"}`)
	}
	return body
}

// retryAfter is the header, in whole seconds: at least what the service asks for. Whoever is
// not told by the service waits a second.
func (p *problem) retryAfter() string {
	d := p.RetryAfter
	if d <= 0 && (p.status == http.StatusServiceUnavailable || p.status == http.StatusTooManyRequests) {
		d = retrySoon
	}
	if d <= 0 {
		return ""
	}
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
