package gateway

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/idem"
)

// Limits of a request.
const (
	maxBody    = 1 << 20          // bytes of a body, as it comes and unpacked
	largeBody  = 64 << 10         // bytes from which a body is large
	maxKey     = 255              // bytes of an Idempotency-Key
	maxTimeout = 30 * time.Second // the most that Mesh-Timeout can ask for
)

// input is a request as a service will get it.
type input struct {
	body    []byte        // the request's JSON: strict, valid, small enough
	command string        // what repeats are recognised by; "" for a read
	timeout time.Duration // what the caller asks for; 0 for nothing
}

// read turns a request into what its method takes, or says why that is not possible. The
// cheap questions come first: a body is read only if everything else is right.
func (to *route) read(w *response, r *http.Request) (in input, p *problem) {
	object := map[string]any{}
	for _, step := range []func() *problem{
		func() *problem { return framed(r) },
		func() *problem { return acceptable(r.Header.Values("Accept")) },
		func() (p *problem) { in.timeout, p = timeoutOf(r.Header.Values(contract.HeaderTimeout)); return p },
		func() (p *problem) { in.command, p = to.commandOf(r.Header.Values(contract.HeaderCommand)); return p },
		func() *problem { return to.expectation(r.Header.Values("If-Match"), object) },
		func() *problem { return to.collect(w, r, object) },
	} {
		if p := step(); p != nil {
			return in, p
		}
	}
	for _, name := range to.Members {
		object[name] = r.PathValue(name)
	}
	in.body, p = to.binder.check(object)
	return in, p
}

// collect reads the members that are not in the path.
func (to *route) collect(w *response, r *http.Request, object map[string]any) *problem {
	if to.method.Reads {
		if r.ContentLength > 0 {
			return refuse(http.StatusBadRequest, "unexpected_body", "%s takes no body: what it asks for is in the path and the query", to.Path)
		}
		return to.binder.query(r.URL.RawQuery, object)
	}
	if r.URL.RawQuery != "" {
		return refuse(http.StatusBadRequest, "unexpected_query", "%s takes no query: what it asks for is in the path and the body", to.Path)
	}
	data, p := readBody(w, r)
	if p != nil {
		return p
	}
	var members map[string]contract.Raw
	if err := contract.Unmarshal(data, &members); err != nil {
		return problemOf(err)
	}
	for name, value := range members {
		if slices.Contains(to.Members, name) || slices.Contains(to.Hidden, name) || name == to.Expects {
			return refuse(http.StatusBadRequest, contract.ErrInvalid.Reason, "the field %s does not belong into the body", name).at("/" + name)
		}
		object[name] = value
	}
	return nil
}

// framed refuses a length that two headers might say differently.
func framed(r *http.Request) *problem {
	if len(r.TransferEncoding) > 0 {
		return refuse(http.StatusBadRequest, "transfer_encoding", "send the body with Content-Length and without Transfer-Encoding")
	}
	return nil
}

// acceptable refuses a caller who cannot read JSON.
func acceptable(values []string) *problem {
	ranges := strings.Split(strings.Join(values, ","), ",")
	if strings.TrimSpace(strings.Join(ranges, "")) == "" {
		return nil
	}
	for _, one := range ranges {
		kind, params, _ := strings.Cut(one, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "*/*", "application/*", "application/json":
			if !refused(params) {
				return nil
			}
		}
	}
	return refuse(http.StatusNotAcceptable, "not_acceptable", "answers are application/json: allow it in Accept")
}

// refused reports a quality of 0.
func refused(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "q") {
			quality, err := strconv.ParseFloat(value, 64)
			return err != nil || quality <= 0
		}
	}
	return false
}

func timeoutOf(values []string) (time.Duration, *problem) {
	if len(values) == 0 {
		return 0, nil
	}
	ms, err := strconv.ParseUint(values[0], 10, 32)
	if err != nil || len(values) > 1 || ms == 0 {
		return 0, refuse(http.StatusBadRequest, "bad_timeout", "the header %s must be given once, as a whole number of milliseconds above 0", contract.HeaderTimeout)
	}
	return min(time.Duration(ms)*time.Millisecond, maxTimeout), nil
}

// commandOf is the command id of a request: the caller's key, or one of its own for what
// changes something.
func (to *route) commandOf(values []string) (string, *problem) {
	switch {
	case to.method.Reads:
		return "", nil
	case len(values) == 0 && to.Keyed:
		return "", refuse(http.StatusBadRequest, "idempotency_key_missing", "send the header %s: the same key again is the same request", contract.HeaderCommand)
	case len(values) == 0:
		return idem.Fresh(), nil
	case len(values) > 1 || !validKey(values[0]):
		return "", refuse(http.StatusBadRequest, "bad_idempotency_key", "the header %s must be given once, as 1 to %d printable ASCII characters", contract.HeaderCommand, maxKey)
	}
	return values[0], nil
}

func validKey(key string) bool {
	return key != "" && len(key) <= maxKey && strings.IndexFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// expectation reads If-Match. A condition that cannot be held is refused, not ignored.
func (to *route) expectation(values []string, object map[string]any) *problem {
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "*":
		return nil
	case to.Expects == "":
		return refuse(http.StatusBadRequest, "unexpected_if_match", "%s takes no If-Match", to.Path)
	}
	tag, quoted := strings.CutPrefix(values[0], `"`)
	version, err := strconv.ParseUint(strings.TrimSuffix(tag, `"`), 10, 63)
	if len(values) > 1 || !quoted || !strings.HasSuffix(tag, `"`) || err != nil || version == 0 {
		return refuse(http.StatusBadRequest, "bad_if_match", `the header If-Match must be one ETag as it was answered, such as "3"`)
	}
	object[to.Expects] = version
	return nil
}

// jsonType refuses a body that does not say that it is JSON.
func jsonType(values []string) *problem {
	if len(values) == 1 {
		kind, params, err := mime.ParseMediaType(values[0])
		if err == nil && kind == "application/json" && (params["charset"] == "" || strings.EqualFold(params["charset"], "utf-8")) {
			return nil
		}
	}
	return refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the body as Content-Type: application/json")
}
