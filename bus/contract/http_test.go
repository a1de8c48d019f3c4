package contract_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
)

type boxRequest struct {
	ID    string `json:"id"`
	Owner string `json:"owner,omitzero"`
	Seen  uint64 `json:"seen,omitzero"`
	Limit int    `json:"limit,omitzero"`
}

type boxReply struct {
	ID string `json:"id"`
}

func TestRoute(t *testing.T) {
	t.Parallel()
	open := contract.NewMethod[boxRequest, boxReply]("boxes", "open",
		contract.HTTP("POST /boxes/{id}/open", contract.Keyed(), contract.Creates("/lids/{id}"), contract.Hides("owner"), contract.Expects("seen")))
	r := open.Info().HTTP
	want := &contract.Route{
		Verb: "POST", Path: "/boxes/{id}/open", Members: []string{"id"}, Hidden: []string{"owner"},
		Keyed: true, Location: "/lids/{id}", Expects: "seen",
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, want %+v", r, want)
	}
	takes := []contract.Member{{Name: "limit", Type: reflect.TypeFor[int](), Optional: true}}
	if got := r.Takes(open.Info().Request); !slices.Equal(got, takes) {
		t.Errorf("takes %+v, want %+v", got, takes)
	}
	if m := contract.NewMethod[boxRequest, boxReply]("boxes", "close"); m.Info().HTTP != nil {
		t.Error("a method without a route has one")
	}
}

// TestRoutesThatDoNotFit: a route is checked against the types that it speaks of.
func TestRoutesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]contract.MethodOption{
		"no verb":                {contract.HTTP("/boxes")},
		"no path":                {contract.HTTP("GET boxes")},
		"a write with GET":       {contract.HTTP("GET /boxes")},
		"a read with POST":       {contract.Read(), contract.HTTP("POST /boxes")},
		"a verb of its own":      {contract.HTTP("PUT /boxes")},
		"an unknown member":      {contract.HTTP("POST /boxes/{lid}")},
		"a number in the path":   {contract.HTTP("POST /boxes/{limit}")},
		"hides what is not":      {contract.HTTP("POST /boxes", contract.Hides("lid"))},
		"no such reply":          {contract.HTTP("POST /boxes", contract.Creates("/boxes/{owner}"))},
		"a version that is text": {contract.HTTP("POST /boxes", contract.Expects("owner"))},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			contract.NewMethod[boxRequest, boxReply]("boxes", "open", opts...)
		}()
	}
}
