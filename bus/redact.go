package bus

import (
	"errors"
	"net/url"
	"strings"
)

// Redacted is a comma-separated list of URLs without their passwords, for logs and
// errors.
func Redacted(urls string) string {
	list := strings.Split(urls, ",")
	for i, text := range list {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil {
			list[i] = u.Redacted()
			continue
		}
		if at := strings.LastIndexByte(text, '@'); at >= 0 {
			list[i] = "…" + text[at:]
		}
	}
	return strings.Join(list, ",")
}

// withoutURL is an error of the client library without what it says of the address,
// which may have a password in it.
func withoutURL(err error) error {
	var bad *url.Error
	for errors.As(err, &bad) {
		err = bad.Err
	}
	return err
}
