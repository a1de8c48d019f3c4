package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/services/gateway"
)

// with is the good order after one replacement, which must take place.
func with(old, replacement string) string {
	if !strings.Contains(goodOrder, old) {
		panic("the order has no " + old)
	}
	return strings.Replace(goodOrder, old, replacement, 1)
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// gzipBomb is a few kilobytes that become megabytes.
var gzipBomb = sync.OnceValue(func() string { return zipped(strings.Repeat(" ", 8<<20)) })

// badInput is a request that must be refused before a service hears of it, unless it is the
// service that knows.
type badInput struct {
	name, verb, path, body string
	headers                []string
	status                 int
	reason, field          string
	asks                   bool // a service is asked
}

const (
	ordersPath = "/api/v1/orders"
	quantity   = `"quantity":2`
	invalid    = "invalid_request"
)

// post is an order with a key that must be refused.
func post(name, body string, status int, reason, field string, headers ...string) badInput {
	return badInput{name, "POST", ordersPath, body, append([]string{"Idempotency-Key", "k"}, headers...), status, reason, field, false}
}

func get(name, path string, status int, reason, field string, headers ...string) badInput {
	return badInput{name, "GET", path, "", headers, status, reason, field, false}
}

func badBodies() []badInput {
	return []badInput{
		post("no body", "", 400, "no_body", ""),
		post("null", "null", 400, invalid, ""),
		post("array", "[]", 400, invalid, ""),
		post("blank", "   ", 400, invalid, ""),
		post("two values", goodOrder+goodOrder, 400, invalid, ""),
		post("cut off", goodOrder[:len(goodOrder)-1], 400, invalid, ""),
		post("no JSON", "customer=c1", 400, invalid, ""),
		post("duplicate key", with(`"customer_id":"c1"`, `"customer_id":"c1","customer_id":"c1"`), 400, invalid, "/customer_id"),
		post("duplicate key inside", with(quantity, quantity+","+quantity), 400, invalid, "/lines/0/quantity"),
		post("wrong case", with("customer_id", "Customer_ID"), 400, invalid, "/Customer_ID"),
		post("unknown field", with(`{"customer_id"`, `{"price":1,"customer_id"`), 400, invalid, "/price"),
		post("unknown field inside", with(quantity, quantity+`,"unit_price":1`), 400, invalid, "/lines/0/unit_price"),
		post("an id of its own", with(`{"customer_id"`, `{"order_id":"o1","customer_id"`), 400, invalid, "/order_id"),
		post("quantity 1e3", with(quantity, `"quantity":1e3`), 400, invalid, "/lines/0/quantity"),
		post("quantity 1.5", with(quantity, `"quantity":1.5`), 400, invalid, "/lines/0/quantity"),
		post("quantity in quotes", with(quantity, `"quantity":"1"`), 400, invalid, "/lines/0/quantity"),
		post("quantity 2^63", with(quantity, `"quantity":9223372036854775808`), 400, invalid, "/lines/0/quantity"),
		post("quantity 0", with(quantity, `"quantity":0`), 422, "bad_quantity", "/lines/0/quantity"),
		post("quantity -1", with(quantity, `"quantity":-1`), 422, "bad_quantity", "/lines/0/quantity"),
		post("no lines", with(`[{"sku":"TEA-001","quantity":2}]`, "[]"), 422, "no_lines", "/lines"),
		post("1001 lines", with("[{", "["+strings.Repeat(`{"sku":"T","quantity":1},`, 1000)+"{"), 422, "too_many_lines", "/lines"),
		post("SKU twice", with("[{", `[{"sku":"TEA-001","quantity":1},{`), 422, "sku_twice", "/lines/1/sku"),
		post("depth 33", with(`"c1"`, strings.Repeat("[", 32)+strings.Repeat("]", 32)), 400, invalid, ""),
		post("1 MiB and a byte", goodOrder+strings.Repeat(" ", 1<<20+1-len(goodOrder)), 413, "body_too_large", ""),
		post("more than the bus takes", with("Ada", strings.Repeat("a", 300<<10)), 400, invalid, "/ship_to/name"),
		post("gzip bomb", gzipBomb(), 413, "body_too_large", "", "Content-Encoding", "gzip"),
		post("gzip that is none", goodOrder, 400, "bad_gzip", "", "Content-Encoding", "gzip"),
		post("gzip cut off", zipped(goodOrder)[:40], 400, "bad_gzip", "", "Content-Encoding", "gzip"),
		post("gzip of nonsense", zipped("nonsense"), 400, invalid, "", "Content-Encoding", "gzip"),
		post("brotli", goodOrder, 415, "unsupported_encoding", "", "Content-Encoding", "br"),
		post("gzip twice", zipped(zipped(goodOrder)), 415, "unsupported_encoding", "", "Content-Encoding", "gzip, gzip"),
		post("form", "a=b", 415, "unsupported_media_type", "", "Content-Type", "application/x-www-form-urlencoded"),
		post("text", goodOrder, 415, "unsupported_media_type", "", "Content-Type", "text/plain"),
		post("no type", goodOrder, 415, "unsupported_media_type", "", "Content-Type", ""),
		post("another charset", goodOrder, 415, "unsupported_media_type", "", "Content-Type", "application/json; charset=utf-16"),
		post("wants XML", goodOrder, 406, "not_acceptable", "", "Accept", "application/xml, application/json;q=0"),
	}
}

func badHeaders() []badInput {
	bad := func(name, reason string, status int, headers ...string) badInput {
		return badInput{name, "POST", ordersPath, goodOrder, headers, status, reason, "", false}
	}
	cancel := func(name, tag, reason string, status int, asks bool) badInput {
		return badInput{name, "POST", ordersPath + "/o1/cancel", `{"reason":"r"}`, []string{"If-Match", tag}, status, reason, "", asks}
	}
	return []badInput{
		bad("no key", "idempotency_key_missing", 400),
		bad("blank key", "bad_idempotency_key", 400, "Idempotency-Key", " "),
		bad("long key", "bad_idempotency_key", 400, "Idempotency-Key", strings.Repeat("k", 256)),
		bad("key beyond ASCII", "bad_idempotency_key", 400, "Idempotency-Key", "schlüssel"),
		bad("time 0", "bad_timeout", 400, "Idempotency-Key", "k", "Mesh-Timeout", "0"),
		bad("time -1", "bad_timeout", 400, "Idempotency-Key", "k", "Mesh-Timeout", "-1"),
		bad("time of ages", "bad_timeout", 400, "Idempotency-Key", "k", "Mesh-Timeout", "99999999999"),
		bad("If-Match where there is none", "unexpected_if_match", 400, "Idempotency-Key", "k", "If-Match", `"1"`),
		cancel("stale If-Match", `"7"`, "order_changed", 412, true),
		cancel("If-Match without quotes", "7", "bad_if_match", 400, false),
		cancel("weak If-Match", `W/"1"`, "bad_if_match", 400, false),
		cancel("two in If-Match", `"1", "2"`, "bad_if_match", 400, false),
		{"cancel too late", "POST", ordersPath + "/o1/cancel", `{"reason":"too late"}`, nil, 412, "order_dispatched", "", true},
		{"cancel without a reason", "POST", ordersPath + "/o1/cancel", `{}`, nil, 400, invalid, "/reason", false},
		{"cancel of two", "POST", ordersPath + "/o1/cancel", `{"order_id":"o2","reason":"r"}`, nil, 400, invalid, "/order_id", false},
		{"version in the body", "POST", ordersPath + "/o1/cancel", `{"if_version":1,"reason":"r"}`, nil, 400, invalid, "/if_version", false},
		{"query of a command", "POST", ordersPath + "?customer_id=c1", goodOrder, []string{"Idempotency-Key", "k"}, 400, "unexpected_query", "", false},
		{"body of a read", "GET", ordersPath, "{}", nil, 400, "unexpected_body", "", false},
		{"delete", "DELETE", ordersPath + "/o1", "", nil, 405, "method_not_allowed", "", false},
		{"trace", "TRACE", ordersPath, "", nil, 405, "method_not_allowed", "", false},
		{"options", "OPTIONS", ordersPath, "", []string{"Origin", "http://evil.example", "Access-Control-Request-Method", "POST"}, 405, "method_not_allowed", "", false},
		{"a method of its own", "BREW", ordersPath, "", nil, 405, "method_not_allowed", "", false},
	}
}

func badQueries() []badInput {
	return []badInput{
		get("no route", "/api/v1/none", 404, "no_route", ""),
		get("no id", ordersPath+"/", 404, "no_route", ""),
		get("other case", "/API/v1/orders", 404, "no_route", ""),
		{"unknown order", "GET", ordersPath + "/o1", "", nil, 404, "order_not_found", "", true},
		{"foreign cursor", "GET", ordersPath + "?cursor=foreign", "", nil, 400, invalid, "/cursor", true},
		get("cursor of nonsense", ordersPath+"?cursor=%0a", 400, invalid, "/cursor"),
		get("limit 1e9", ordersPath+"?limit=1e9", 400, invalid, "/limit"),
		get("limit 1000000000", ordersPath+"?limit=1000000000", 400, invalid, "/limit"),
		get("limit 201", ordersPath+"?limit=201", 400, invalid, "/limit"),
		get("limit -1", ordersPath+"?limit=-1", 400, invalid, "/limit"),
		get("limit 007", ordersPath+"?limit=007", 400, invalid, "/limit"),
		get("limit twice", ordersPath+"?limit=1&limit=2", 400, invalid, "/limit"),
		get("empty limit", ordersPath+"?limit=", 400, invalid, "/limit"),
		get("empty customer", ordersPath+"?customer_id=", 400, invalid, "/customer_id"),
		get("unknown filter", ordersPath+"?customer=c1", 400, invalid, "/customer"),
		get("status of none", ordersPath+"?status=odd", 400, invalid, "/status"),
		get("no time", ordersPath+"?from=yesterday", 400, invalid, "/from"),
		get("half of reflects", ordersPath+"?reflects.version=3", 400, invalid, "/reflects/id"),
		get("reflects as a whole", ordersPath+"?reflects=o1", 400, invalid, "/reflects"),
		get("version 2^64", ordersPath+"/o1?min_version=18446744073709551616", 400, invalid, "/min_version"),
		get("version of text", ordersPath+"/o1?min_version=x", 400, invalid, "/min_version"),
		get("current maybe", "/api/v1/products/TEA-001?current=maybe", 400, invalid, "/current"),
		get("a query that is none", ordersPath+"?a;b", 400, "bad_query", ""),
		get("wants a page", ordersPath, 406, "not_acceptable", "", "Accept", "text/html"),
		get("a dot", "/api/v1/./orders", 400, "bad_path", ""),
		get("two dots", ordersPath+"/../orders", 400, "bad_path", ""),
		get("two slashes", "/api/v1//orders", 400, "bad_path", ""),
	}
}

// TestBadInput is the catalogue: each row is refused with its status, a stable reason and the
// field that is to blame; no service hears of it, and the next request is served.
func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range slices.Concat(badBodies(), badHeaders(), badQueries()) {
		before := w.asked.Load()
		a := w.do(c.verb, c.path, c.body, c.headers...)
		p := a.refused(t, c.name, c.status)
		if p.Reason != c.reason || p.Field != c.field {
			t.Errorf("%s: %s at %q, want %s at %q: %s", c.name, p.Reason, p.Field, c.reason, c.field, p.Detail)
		}
		if asked := w.asked.Load() > before; asked != c.asks {
			t.Errorf("%s: a service was asked: %t", c.name, asked)
		}
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other sites may read this", c.name)
		}
	}
	for _, good := range [][]string{
		{"Content-Encoding", "gzip"}, {"Content-Type", "application/json; charset=UTF-8"}, {"Accept", "text/html, */*;q=0.1"},
	} {
		body := goodOrder
		if good[1] == "gzip" {
			body = zipped(body)
		}
		if a := w.do("POST", ordersPath, body, append(good, "Idempotency-Key", good[0])...); a.status != 201 {
			t.Errorf("%v: %d %s", good, a.status, a.body)
		}
	}
	if strings.Contains(w.log.String(), `"level":"ERROR"`) {
		t.Errorf("bad input was logged as an error:\n%s", w.log)
	}
}

// TestHostilePaths: an id that is none is refused and never becomes a subject.
func TestHostilePaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{
		"*", "%3E", ">", "a.b", "%2e%2e", "..%2f..%2fx", "a%00b", "a%0d%0ab", "%ff", "%ed%a0%80", "e%CC%81", "%e2%80%ae", strings.Repeat("a", 65),
		strings.Repeat("a", 5000), "'%20OR%201=1", "%3Cscript%3E", "a%2Fb", "$JS", "%20", "a%5Cb",
	} {
		for _, path := range []string{"/api/v1/orders/%s", "/api/v1/products/%s", "/api/v1/stock/%s"} {
			a := w.do("GET", fmt.Sprintf(path, id), "")
			if p := a.refused(t, path+cut(id), 400); p.Field == "" && p.Reason != "bad_path" && p.Reason != invalid {
				t.Errorf("%s: %s", id, a.body)
			}
		}
		w.do("POST", "/api/v1/orders/"+id+"/cancel", `{"reason":"r"}`).refused(t, "cancel "+cut(id), 400)
	}
	if n := w.asked.Load(); n != 0 {
		t.Errorf("services were asked %d times", n)
	}
}

func cut(s string) string { return s[:min(len(s), 12)] }

// hostile are JSON texts that take the place of a text.
var hostile = []string{
	`""`, `"  "`, `"` + strings.Repeat("a", 65) + `"`, `"` + strings.Repeat("a", 5000) + `"`, `"` + strings.Repeat("a", 1<<20) + `"`, `"*"`, `">"`, `"a.b"`, `".."`,
	`"a\r\nb"`, `"a\u0000b"`, "\"a\xffb\"", `"\ud800"`, `"é"`, `"e\u0301"`, `"\u202eabc"`, `"../../x"`, `"%2e%2e"`, `"' OR 1=1 --"`, `"<script>"`,
	`"null"`, "null", "1", "true", "[]", "{}",
}

// TestHostileFields crosses every text of an order with every hostile one: what is not
// refused is a text like any other, what is refused names its field.
func TestHostileFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fields := map[string]string{
		"/customer_id": `"c1"`, "/lines/0/sku": `"TEA-001"`, "/payment/token": `"tok_ok"`, "/ship_to/name": `"Ada"`,
		"/ship_to/line1": `"1 Main St"`, "/ship_to/city": `"Berlin"`, "/ship_to/postal_code": `"10115"`, "/ship_to/country": `"DE"`,
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		for i, value := range hostile {
			name := fmt.Sprintf("%s = %s", field, cut(value))
			a := w.order(fmt.Sprintf("k%s%d", strings.ReplaceAll(field, "/", "-"), i), with(fields[field], value))
			if a.status == 201 {
				if value[0] != '"' {
					t.Errorf("%s: accepted", name)
				}
				continue
			}
			status := 400
			if a.status == 413 || a.status == 422 {
				status = a.status
			}
			if p := a.refused(t, name, status); a.status != 413 && p.Field != field {
				t.Errorf("%s: blames %q: %s", name, p.Field, p.Detail)
			}
		}
	}
	for _, parameter := range []string{"customer_id", "status", "from", "order_id_prefix", "cursor", "reflects.id", "limit", "min_version"} {
		for _, value := range hostile {
			text := url.QueryEscape(strings.Trim(value, `"`))
			if len(text) > 8000 {
				continue // 431 comes first
			}
			if a := w.do("GET", ordersPath+"?"+parameter+"="+text, ""); a.status != 200 {
				a.refused(t, parameter+"="+cut(text), 400)
			}
		}
	}
}

// raw sends bytes and returns the status of the answer, 0 if the connection is closed
// without one.
func (w *world) raw(t *testing.T, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Logf("the request was not taken to its end: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

// TestBadFraming: what is wrong below the level of requests.
func TestBadFraming(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	head := "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(goodOrder))
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(goodOrder), goodOrder)
	for name, c := range map[string]struct {
		request string
		status  int
		reason  string
	}{
		"length and chunks":   {head + length + "Transfer-Encoding: chunked\r\n\r\n" + chunks, 400, "transfer_encoding"},
		"chunks":              {head + "Transfer-Encoding: chunked\r\n\r\n" + chunks, 400, "transfer_encoding"},
		"two lengths":         {head + length + "Content-Length: 3\r\n\r\n" + goodOrder, 400, ""},
		"no number":           {head + "Content-Length: -1\r\n\r\n" + goodOrder, 400, ""},
		"an odd encoding":     {head + "Transfer-Encoding: gzip\r\n\r\n" + chunks, 501, ""},
		"huge headers":        {head + "X: " + strings.Repeat("a", 20<<10) + "\r\n" + length + "\r\n" + goodOrder, 431, ""},
		"many headers":        {head + strings.Repeat("X-Y: aaaaaaaa\r\n", 2000) + length + "\r\n" + goodOrder, 431, ""},
		"key twice":           {head + "Idempotency-Key: k\r\n" + length + "\r\n" + goodOrder, 400, "bad_idempotency_key"},
		"no host":             {"GET /api/v1/orders HTTP/1.1\r\n\r\n", 400, ""},
		"bad escape":          {"GET /api/v1/orders/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
		"not HTTP":            {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
		"line feed in header": {"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400, ""},
	} {
		before := w.asked.Load()
		status, body := w.raw(t, c.request)
		if status != c.status || !strings.Contains(body, c.reason) {
			t.Errorf("%s: %d %s, want %d %s", name, status, body, c.status, c.reason)
		}
		if w.asked.Load() > before {
			t.Errorf("%s: a service was asked", name)
		}
	}
	if a := w.order("k", goodOrder); a.status != 201 {
		t.Errorf("a good order afterwards: %d %s", a.status, a.body)
	}
}

// TestSlowClients: a body that stays away is 408; headers that trickle are not answered; and
// neither keeps the others waiting.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_ = w.server.Close()
	w.times = func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout = 100*time.Millisecond, 200*time.Millisecond }
	w.listen()
	head := "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 500\r\n"
	if status, body := w.raw(t, head+"\r\n{\"customer_id\":"); status != 408 || !strings.Contains(body, "body_incomplete") {
		t.Errorf("a short body: %d %s", status, body)
	}
	if status, body := w.raw(t, head+"Content-Encoding: gzip\r\n\r\n"+zipped(goodOrder)[:20]); status != 408 {
		t.Errorf("a short gzip body: %d %s", status, body)
	}
	if status, body := w.raw(t, head+"X-Slow: "); status != 0 {
		t.Errorf("slow headers: %d %s, want a closed connection", status, body)
	}
	if w.asked.Load() != 0 {
		t.Error("a service was asked")
	}
	if a := w.order("k", goodOrder); a.status != 201 {
		t.Errorf("a good order meanwhile: %d %s", a.status, a.body)
	}
}

// TestClientGone: an order whose caller has gone is there as a whole, and its key finds it.
func TestClientGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(goodOrder), goodOrder)
	_ = conn.Close()
	bustest.Eventually(t, patience, func() bool { return strings.Contains(w.log.String(), `"verb":"POST"`) })
	if a := w.order("k", goodOrder); a.status != 201 || w.stored() != 1 {
		t.Errorf("%d %s, %d orders", a.status, a.body, w.stored())
	}
}

// FuzzRequest: whatever stands in a request, it is answered once, without a panic, and what
// reaches a service is a valid request of its method.
func FuzzRequest(f *testing.F) {
	for _, c := range slices.Concat(badBodies(), badHeaders(), badQueries()) {
		if len(c.body) < 4096 {
			f.Add(c.verb, c.path, c.body, strings.Join(c.headers, "\n"))
		}
	}
	f.Add("POST", ordersPath, goodOrder, "Idempotency-Key\nk")
	reader := gateway.NewReader()
	f.Fuzz(func(t *testing.T, verb, path, body, headers string) {
		lines := strings.Split(headers, "\n")
		h := http.Header{"Content-Type": {"application/json"}}
		for i := 0; i+1 < len(lines); i += 2 {
			h.Add(lines[i], lines[i+1])
		}
		m, sent, refusal := reader.Read(verb, path, body, h)
		switch {
		case m == nil && (refusal < 400 || refusal > 499):
			t.Fatalf("neither read nor refused: %d", refusal)
		case m != nil && len(sent) > contract.MaxRequestBytes:
			t.Fatalf("%d bytes are sent", len(sent))
		case m != nil:
			if err := gateway.Check(*m, sent); err != nil {
				t.Fatalf("%s is sent to %s: %v", sent, m.FullName(), err)
			}
		}
	})
}
