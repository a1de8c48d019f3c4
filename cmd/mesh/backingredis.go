package main

import (
	"net/url"

	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/redis"
)

// sharedRedis is the Redis of this process; nil is none.
type sharedRedis struct {
	client *redis.Client
	url    string
}

// openRedis checks a URL and connects to nothing: a Redis that is down is a miss. "" is
// none.
func openRedis(url string) (*sharedRedis, error) {
	if url == "" {
		return nil, nil //nolint:nilnil // none is a value
	}
	client, err := redis.Open(url)
	if err != nil {
		return nil, usagef("REDIS_URL: %w", err) // which does not say what is wrong: that might show the password
	}
	return &sharedRedis{client, url}, nil
}

// remote is the level of caches that processes share.
func (r *sharedRedis) remote() cache.Remote {
	if r == nil {
		return nil
	}
	return r.client.Cache()
}

// redacted is the URL without user and password.
func (r *sharedRedis) redacted() string {
	if r == nil {
		return ""
	}
	u, err := url.Parse(r.url)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

func (r *sharedRedis) close() {
	if r != nil {
		_ = r.client.Close() // nothing in it waits
	}
}
