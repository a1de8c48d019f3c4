package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ordermesh/ordermesh/bus/limit"
)

// Limiter counts for all processes together, by the clock of Redis.
func (c *Client) Limiter() *Limiter { return &Limiter{c.rdb, c.prefix + "limit:"} }

// Limiter is a limit.Limiter in Redis. A key is a string: when its bucket would be full,
// in microseconds of Redis' clock; it expires then.
type Limiter struct {
	rdb    *redis.Client
	prefix string
}

// gcra is limit.Decide in Redis: the generic cell rate algorithm as virtual scheduling
// (ITU-T I.371, ATM Forum TM 4.0). KEYS[1]; ARGV: microseconds between two takes, burst,
// how many to take. Numbers are doubles, exact to a microsecond until the year 2255.
// What is not a number, or a time that no burst reaches, counts as nothing.
var gcra = redis.NewScript(`
local every, burst, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local capacity = every * burst
local old = redis.pcall('GET', KEYS[1])
local full = type(old) == 'string' and tonumber(old) or now
if full < now or full ~= full or full > now + 366 * 86400 * 1000000 then full = now end
local after = full + every * n
local wait = after - capacity - now
if wait > 0 then
	return {0, math.floor((capacity - (full - now)) / every), math.ceil(wait), math.ceil(full - now)}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1)
return {1, math.floor((capacity - (after - now)) / every), 0, math.ceil(after - now)}
`)

// Take implements limit.Limiter.
func (l *Limiter) Take(ctx context.Context, key string, r limit.Rate, n int) (limit.Verdict, error) {
	every, burst, err := r.Check(n)
	if err != nil {
		return limit.Verdict{}, err
	}
	got, err := gcra.Run(ctx, l.rdb, []string{l.prefix + key}, float64(every)/float64(time.Microsecond), burst, n).Int64Slice()
	if err != nil {
		return limit.Verdict{}, fmt.Errorf("a rate limit: %w", err)
	}
	if len(got) != 4 {
		return limit.Verdict{}, fmt.Errorf("a rate limit: Redis answers %d numbers", len(got))
	}
	remaining := min(max(got[1], 0), int64(burst))
	return limit.Verdict{
		Allowed: got[0] == 1, Remaining: int(remaining),
		RetryAfter: time.Duration(got[2]) * time.Microsecond, ResetAfter: time.Duration(got[3]) * time.Microsecond,
	}, nil
}
