package contract

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code is one of the closed set of error classes that cross the wire. Its number
// is the HTTP status that says the same.
type Code int

// The codes. A caller decides what to do from the code alone; reasons are for
// programs that handle one particular refusal, messages are for people.
const (
	Invalid            Code = 400 // the request cannot be understood or a field is malformed
	Unauthenticated    Code = 401 // the caller is unknown
	Forbidden          Code = 403 // the caller is known and may not
	NotFound           Code = 404 // the thing named does not exist, or not for this caller
	Conflict           Code = 409 // the thing exists already or changed meanwhile
	FailedPrecondition Code = 412 // the thing is not in a state that allows this
	Unprocessable      Code = 422 // well-formed, but it makes no sense to the business
	Exhausted          Code = 429 // overload or quota: try again after RetryAfter
	Internal           Code = 500 // a defect on the server; details are in its log
	Unavailable        Code = 503 // a dependency is missing: try again
	Deadline           Code = 504 // the time ran out; whether the work was done is unknown
)

var codeNames = map[Code]string{
	Invalid: "invalid", Unauthenticated: "unauthenticated", Forbidden: "forbidden",
	NotFound: "not_found", Conflict: "conflict", FailedPrecondition: "failed_precondition",
	Unprocessable: "unprocessable", Exhausted: "exhausted", Internal: "internal",
	Unavailable: "unavailable", Deadline: "deadline",
}

// String returns the code's name on the wire, such as "not_found".
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code_%d", int(c))
}

// ParseCode is the inverse of [Code.String]; unknown names give Internal and false.
func ParseCode(name string) (Code, bool) {
	for code, n := range codeNames {
		if n == name {
			return code, true
		}
	}
	return Internal, false
}

// Refusal reports whether repeating the same request can never succeed by itself:
// the caller has to change something first. Inside a flow a refusal is terminal.
func (c Code) Refusal() bool {
	switch c {
	case Invalid, Unauthenticated, Forbidden, NotFound, Conflict, FailedPrecondition, Unprocessable:
		return true
	case Exhausted, Internal, Unavailable, Deadline:
		return false
	}
	return false
}

// Error is the only error that crosses the wire. Code and Reason are stable and
// survive the crossing; Message is one sentence for a person; Field is the JSON
// pointer (RFC 6901) of the offending field, if one is to blame; RetryAfter says
// when another try makes sense (milliseconds on the wire).
type Error struct {
	Code       Code
	Reason     string
	Message    string
	Field      string
	RetryAfter time.Duration
}

// NewError declares an error value. Reason is snake_case and unique within its
// service; message is one sentence without a final full stop.
func NewError(code Code, reason, message string) *Error {
	return &Error{Code: code, Reason: reason, Message: message}
}

// Error returns the message with its field, for logs and terminals.
func (e *Error) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("%s (%s, field %s)", e.Message, e.Reason, e.Field)
	}
	return fmt.Sprintf("%s (%s)", e.Message, e.Reason)
}

// Is makes errors.Is compare by code and reason, so that an error that came over
// the wire equals the value declared in contracts.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Reason == e.Reason
}

// At returns a copy that blames the given field, a JSON pointer such as
// "/lines/0/quantity".
func (e *Error) At(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// Sayf returns a copy with another message; code and reason stay.
func (e *Error) Sayf(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// After returns a copy that asks the caller to wait before trying again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// The errors that any method may answer.
var (
	ErrInvalid     = NewError(Invalid, "invalid_request", "the request is not valid")
	ErrInternal    = NewError(Internal, "internal", "something failed on the server; its log has the details")
	ErrUnavailable = NewError(Unavailable, "unavailable", "the service cannot answer now; try again")
	ErrDeadline    = NewError(Deadline, "deadline_exceeded", "the time ran out before the work was done")
	ErrExhausted   = NewError(Exhausted, "overloaded", "the service has more work than it can take; try again later")
)

// AsError finds the contract error in err's chain. A context that ended becomes
// ErrDeadline or ErrUnavailable; anything else becomes ErrInternal, whose cause
// must be logged where it arose because it is never sent. AsError(nil) is nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrDeadline
	}
	if errors.Is(err, context.Canceled) {
		return ErrUnavailable
	}
	return ErrInternal
}

// IsRefusal reports whether err carries a code that a retry cannot change.
func IsRefusal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code.Refusal()
}

type wireError struct {
	Code         string `json:"code"`
	Reason       string `json:"reason"`
	Message      string `json:"message"`
	Field        string `json:"field,omitzero"`
	RetryAfterMS int64  `json:"retry_after_ms,omitzero"`
}

// EncodeError returns the body of an error reply:
// {"code","reason","message","field"?,"retry_after_ms"?}.
func EncodeError(e *Error) []byte {
	b, err := Marshal(wireError{
		Code: e.Code.String(), Reason: e.Reason, Message: e.Message,
		Field: e.Field, RetryAfterMS: e.RetryAfter.Milliseconds(),
	})
	if err != nil { // only invalid UTF-8 in a message can do this
		return []byte(`{"code":"internal","reason":"internal","message":"the error cannot be shown"}`)
	}
	return b
}

// DecodeError reads what EncodeError wrote. A body that is not an error gives
// ErrInternal with the given fallback message.
func DecodeError(body []byte, fallback string) *Error {
	var w wireError
	if err := UnmarshalLenient(body, &w); err != nil || w.Code == "" {
		return ErrInternal.Sayf("%s", fallback)
	}
	code, ok := ParseCode(w.Code)
	if !ok {
		return ErrInternal.Sayf("unknown error code %q: %s", w.Code, w.Message)
	}
	return &Error{
		Code: code, Reason: w.Reason, Message: w.Message, Field: w.Field,
		RetryAfter: time.Duration(w.RetryAfterMS) * time.Millisecond,
	}
}
