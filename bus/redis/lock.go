package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ordermesh/ordermesh/bus/lock"
)

// Locker gives out advisory locks to all processes.
func (c *Client) Locker() *Locker { return &Locker{c.rdb, c.prefix + "lock:"} }

// Locker is a lock.Locker in Redis. A key is a string that only its holder knows, with a
// time to live.
type Locker struct {
	rdb    *redis.Client
	prefix string
}

type lease struct {
	rdb        *redis.Client
	key, token string
}

// Only the holder extends and releases: KEYS[1]; ARGV: token, milliseconds.
var (
	extend = redis.NewScript(`
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)
	release = redis.NewScript(`
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)
)

// Acquire implements lock.Locker.
func (l *Locker) Acquire(ctx context.Context, name string, ttl time.Duration) (lock.Lease, error) {
	if ttl < time.Millisecond {
		return nil, lock.ErrTTL
	}
	got := &lease{l.rdb, l.prefix + name, rand.Text()}
	ok, err := l.rdb.SetNX(ctx, got.key, got.token, ttl).Result()
	switch {
	case err != nil:
		return nil, fmt.Errorf("a lock: %w", err)
	case !ok:
		return nil, lock.ErrHeld
	}
	return got, nil
}

// Extend implements lock.Lease.
func (l *lease) Extend(ctx context.Context, ttl time.Duration) error {
	n, err := extend.Run(ctx, l.rdb, []string{l.key}, l.token, ttl.Milliseconds()).Int()
	switch {
	case err != nil:
		return fmt.Errorf("a lock: %w", err)
	case n == 0:
		return lock.ErrLost
	}
	return nil
}

// Release implements lock.Lease.
func (l *lease) Release(ctx context.Context) error {
	if err := release.Run(ctx, l.rdb, []string{l.key}, l.token).Err(); err != nil {
		return fmt.Errorf("a lock: %w", err)
	}
	return nil
}
