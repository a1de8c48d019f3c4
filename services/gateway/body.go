package gateway

import (
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// readBody returns the body, unpacked. Whoever gets an error on the way is not listened to
// any further: the connection is closed.
func readBody(w *response, r *http.Request) ([]byte, *problem) {
	if r.ContentLength == 0 {
		return nil, refuse(http.StatusBadRequest, "no_body", "the body is empty: send a JSON object")
	}
	if p := jsonType(r.Header.Values("Content-Type")); p != nil {
		return nil, p
	}
	packed, p := packedBody(r.Header.Values("Content-Encoding"))
	if p != nil {
		return nil, p
	}
	if r.ContentLength > maxBody {
		w.Header().Set("Connection", "close")
		return nil, tooLarge()
	}
	from := &watched{Reader: r.Body}
	data, err := unpack(from, packed)
	switch {
	case from.err != nil:
		w.Header().Set("Connection", "close")
		return nil, broken(from.err)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "bad_gzip", "the body is not what Content-Encoding says, gzip")
	case len(data) > maxBody:
		return nil, tooLarge()
	}
	return data, nil
}

func packedBody(values []string) (bool, *problem) {
	switch coding := strings.ToLower(strings.Join(values, ",")); coding {
	case "", "identity":
		return false, nil
	case "gzip":
		return true, nil
	}
	return false, refuse(http.StatusUnsupportedMediaType, "unsupported_encoding", "a body may be packed with gzip or not at all")
}

// unpack reads at most one byte more than a body may have.
func unpack(from io.Reader, packed bool) ([]byte, error) {
	if packed {
		unpacked, err := gzip.NewReader(from)
		if err != nil {
			return nil, err
		}
		from = unpacked
	}
	return io.ReadAll(io.LimitReader(from, maxBody+1))
}

// watched remembers that the connection has failed, which who unpacks cannot tell from a bad
// body.
type watched struct {
	io.Reader
	err error
}

// Read passes the body on.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

func tooLarge() *problem {
	return refuse(http.StatusRequestEntityTooLarge, "body_too_large", "the body has more than %d bytes", maxBody)
}

// broken is a body that did not come to its end.
func broken(err error) *problem {
	var slow net.Error
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &slow) && slow.Timeout() {
		return refuse(http.StatusRequestTimeout, "body_incomplete", "the body did not come in time, or is shorter than Content-Length says")
	}
	return refuse(http.StatusBadRequest, "body_unreadable", "the body could not be read")
}
