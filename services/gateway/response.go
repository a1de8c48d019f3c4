package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// response writes one answer and remembers what it was.
type response struct {
	http.ResponseWriter
	requestID string
	status    int
	size      int
	problem   *problem
}

// Unwrap gives http.ResponseController the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) send(status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.status, w.size = status, len(body)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

func (w *response) json(status int, body []byte) { w.send(status, "application/json", body) }

func (w *response) fail(p *problem) {
	w.problem = p
	w.Header().Set("Cache-Control", "no-store")
	if after := p.retryAfter(); after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.send(p.status, "application/problem+json", p.body(w.requestID))
}

// notModified answers a conditional request whose caller has the latest version.
func (w *response) notModified() {
	w.status = http.StatusNotModified
	w.WriteHeader(w.status)
}

// harden sets what every answer carries: nothing of it is a page, nor for another site.
func harden(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// reply turns a service's reply into an answer.
func (w *response) reply(req *http.Request, r *route, body []byte) {
	var members map[string]contract.Raw
	if r.etag || r.pages || r.Location != "" {
		if err := contract.UnmarshalLenient(body, &members); err != nil {
			w.fail(problemOf(contract.ErrInternal))
			return
		}
	}
	if r.etag {
		tag := `"` + string(members["version"]) + `"`
		w.Header().Set("ETag", tag)
		if r.method.Reads {
			w.Header().Set("Cache-Control", "private, no-cache") // to be asked about with If-None-Match
			if matches(req.Header.Values("If-None-Match"), tag) {
				w.notModified()
				return
			}
		}
	}
	if cursor, ok := text(members["next_cursor"]); ok && r.pages {
		next := *req.URL
		query := next.Query()
		query.Set("cursor", cursor)
		w.Header().Set("Link", "<"+next.Path+"?"+query.Encode()+`>; rel="next"`)
	}
	if r.Location == "" {
		w.json(http.StatusOK, body)
		return
	}
	w.Header().Set("Location", fill(r.Location, members))
	w.json(http.StatusCreated, body)
}

// text reads a JSON string.
func text(v contract.Raw) (string, bool) {
	var holder struct {
		V string `json:"v"`
	}
	err := contract.UnmarshalLenient([]byte(`{"v":`+string(v)+`}`), &holder)
	return holder.V, err == nil && holder.V != ""
}

// fill puts members of a reply, which are ids, into a path.
func fill(path string, members map[string]contract.Raw) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			parts[i], _ = text(members[strings.TrimSuffix(name, "}")])
		}
	}
	return strings.Join(parts, "/")
}

// matches reports whether If-None-Match names the tag, or any.
func matches(values []string, tag string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}
