package gateway

import (
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/gateway"
)

// object is a JSON object that is being written.
type object = map[string]any

// openAPI describes the routes, out of the contracts alone (OpenAPI 3.1).
func (s *Service) openAPI() []byte {
	d := &describer{schemas: object{}}
	d.schemas["problem"] = d.problem()
	paths := map[string]object{}
	for _, r := range s.routes {
		if paths[r.Path] == nil {
			paths[r.Path] = object{}
		}
		paths[r.Path][strings.ToLower(r.Verb)] = d.operation(r)
	}
	body, err := contract.Marshal(object{
		"openapi":    "3.1.0",
		"info":       object{"title": "ordermesh", "version": gateway.Descriptor.Version},
		"paths":      paths,
		"components": object{"schemas": d.schemas},
	})
	if err != nil {
		panic("gateway: " + err.Error()) // the types are our own
	}
	return body
}

// problem describes errors.
func (d *describer) problem() object { return d.structure(reflect.TypeFor[problemBody]()) }

// describer collects the schemas of the types that it meets.
type describer struct{ schemas object }

func (d *describer) operation(r *route) object {
	status, header := http.StatusOK, object{}
	if r.Location != "" {
		status = http.StatusCreated
		header["Location"] = object{"schema": object{"type": "string"}, "description": "the path of what was made"}
	}
	if r.etag {
		header["ETag"] = object{"schema": object{"type": "string"}, "description": "the version, in quotes"}
	}
	if r.pages {
		header["Link"] = object{"schema": object{"type": "string"}, "description": "the next page, if there is one"}
	}
	answer := object{"description": http.StatusText(status), "content": object{"application/json": object{"schema": d.schema(r.method.Response)}}}
	if len(header) > 0 {
		answer["headers"] = header
	}
	op := object{
		"operationId": r.method.FullName(), "summary": r.method.Doc, "parameters": d.parameters(r),
		"responses": object{
			strconv.Itoa(status): answer,
			"default": object{
				"description": "an error",
				"content":     object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/problem"}}},
			},
		},
	}
	if !r.method.Reads {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": d.members(r.Takes(r.method.Request))}}}
	}
	return op
}

func (d *describer) parameters(r *route) []object {
	var list []object
	for _, name := range r.Members {
		list = append(list, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}})
	}
	for _, name := range slices.Sorted(maps.Keys(r.binder.params)) {
		list = append(list, object{"name": name, "in": "query", "schema": d.member(r.method.Request, r.binder.params[name].path)})
	}
	head := func(name string, required bool, schema object) {
		list = append(list, object{"name": name, "in": "header", "required": required, "schema": schema})
	}
	head(contract.HeaderTimeout, false, object{"type": "integer", "description": "milliseconds that the caller waits"})
	if !r.method.Reads {
		head(contract.HeaderCommand, r.Keyed, object{"type": "string", "maxLength": maxKey})
	}
	if r.Expects != "" {
		head("If-Match", false, object{"type": "string"})
	}
	if r.etag && r.method.Reads {
		head("If-None-Match", false, object{"type": "string"})
	}
	return list
}

// member finds the schema of a member by its path.
func (d *describer) member(t reflect.Type, path []string) object {
	for _, f := range contract.MembersOf(t) {
		if f.Name == path[0] && len(path) > 1 {
			return d.member(f.Type, path[1:])
		}
		if f.Name == path[0] {
			return d.schema(f.Type)
		}
	}
	return object{}
}

// schema describes a type; a struct with a name becomes a component.
func (d *describer) schema(t reflect.Type) object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() { //nolint:exhaustive // what else there is has no schema and takes everything
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		if t == reflect.TypeFor[contract.Raw]() {
			return object{}
		}
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return object{"type": "string", "format": "date-time"}
		}
		name := path.Base(t.PkgPath()) + "." + t.Name()
		if d.schemas[name] == nil {
			d.schemas[name] = object{} // it may hold itself
			d.schemas[name] = d.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{}
}

func (d *describer) structure(t reflect.Type) object { return d.members(contract.MembersOf(t)) }

func (d *describer) members(list []contract.Member) object {
	properties, required := object{}, []string{}
	for _, f := range list {
		properties[f.Name] = d.schema(f.Type)
		if !f.Optional {
			required = append(required, f.Name)
		}
	}
	schema := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}
