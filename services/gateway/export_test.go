package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/gateway"
)

// Reader reads requests as the gateway does and sends nothing.
type Reader struct{ mux *http.ServeMux }

// NewReader has every route.
func NewReader() *Reader {
	r := &Reader{http.NewServeMux()}
	for _, m := range gateway.Descriptor.Calls {
		to := &route{Route: *m.HTTP, method: m, binder: newBinder(m)}
		r.mux.HandleFunc(to.Verb+" "+to.Path, func(w http.ResponseWriter, req *http.Request) {
			read, _ := req.Context().Value(readKey{}).(*reading)
			in, p := to.read(&response{ResponseWriter: w}, req)
			if p != nil {
				read.status = p.status
				_ = p.body("r")
				return
			}
			read.method, read.body = &to.method, in.body
		})
	}
	return r
}

type readKey struct{}

type reading struct {
	method *contract.MethodInfo
	body   []byte
	status int
}

// Read returns what would be sent and to which method, or the status of the refusal.
func (r *Reader) Read(verb, path, body string, h http.Header) (m *contract.MethodInfo, sent []byte, status int) {
	req, err := http.NewRequest(verb, "http://x"+path, strings.NewReader(body))
	if err != nil {
		return nil, nil, 400
	}
	req.Header = h
	read := &reading{status: 404}
	r.mux.ServeHTTP(httptest.NewRecorder(), req.WithContext(context.WithValue(req.Context(), readKey{}, read)))
	return read.method, read.body, read.status
}

// Check holds what is sent against what its service would accept.
func Check(m contract.MethodInfo, body []byte) error {
	request := reflect.New(m.Request).Interface()
	if err := contract.Unmarshal(body, request); err != nil {
		return err
	}
	return request.(contract.Validator).Validate()
}
