package gateway

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/gateway"
)

// route is a method behind a pattern.
type route struct {
	contract.Route
	method contract.MethodInfo
	binder binder
	etag   bool // the reply has a version
	pages  bool // the reply has a cursor
}

// addRoutes builds the router: one pattern per method, and for each path an answer to the
// verbs that it does not have.
func (s *Service) addRoutes(methods []contract.MethodInfo) {
	s.mux = http.NewServeMux()
	verbs := map[string][]string{}
	for _, m := range methods {
		reply := contract.MembersOf(m.Response)
		has := func(name string) bool {
			return slices.ContainsFunc(reply, func(f contract.Member) bool { return f.Name == name })
		}
		r := &route{Route: *m.HTTP, method: m, binder: newBinder(m), etag: has("version"), pages: has("next_cursor")}
		s.routes = append(s.routes, r)
		s.mux.Handle(r.Verb+" "+r.Path, s.serve(r.Path, func(w *response, req *http.Request) { s.answer(w, req, r) }))
		verbs[r.Path] = append(verbs[r.Path], r.Verb)
		if r.Verb == http.MethodGet {
			verbs[r.Path] = append(verbs[r.Path], http.MethodHead)
		}
	}
	for p, allowed := range verbs {
		slices.Sort(allowed)
		list := strings.Join(allowed, ", ")
		s.mux.Handle(p, s.serve(p, func(w *response, _ *http.Request) {
			w.Header().Set("Allow", list)
			w.fail(refuse(http.StatusMethodNotAllowed, "method_not_allowed", "this path takes %s", list))
		}))
	}
	document := s.openAPI()
	s.mux.Handle("GET "+documentPath, s.serve(documentPath, func(w *response, _ *http.Request) { w.json(http.StatusOK, document) }))
	s.mux.Handle("/", s.serve("", func(w *response, _ *http.Request) {
		w.fail(refuse(http.StatusNotFound, "no_route", "there is nothing at this path; %s lists what there is", documentPath))
	}))
}

// documentPath is where the routes are described.
const documentPath = gateway.Prefix + "/openapi.json"

// ServeHTTP answers every request below the prefix. Paths that are written in more than one
// way are refused, not redirected: what a proxy in front has allowed must be what is served.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if clean := path.Clean(r.URL.Path); !strings.HasPrefix(r.URL.Path, "/") || (clean != r.URL.Path && clean+"/" != r.URL.Path) {
		s.serve("", func(w *response, _ *http.Request) {
			w.fail(refuse(http.StatusBadRequest, "bad_path", "the path is not written plainly: it has an empty part, a dot or two of them"))
		}).ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}
