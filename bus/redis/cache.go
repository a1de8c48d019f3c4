package redis

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ordermesh/ordermesh/bus/cache"
)

// Cache is a level of caches that processes share.
func (c *Client) Cache() *Cache { return &Cache{c.rdb, c.prefix + "cache:"} }

// Cache is a cache.Remote in Redis. A key is a string with an encoded record.
type Cache struct {
	rdb    *redis.Client
	prefix string
}

// Get implements cache.Remote. A key of another type is nothing; Put replaces it.
func (c *Cache) Get(ctx context.Context, key string) (cache.Record, bool, error) {
	b, err := c.rdb.Get(ctx, c.prefix+key).Bytes()
	switch {
	case errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "WRONGTYPE"):
		return cache.Record{}, false, nil
	case err != nil:
		return cache.Record{}, false, err
	}
	r, err := cache.DecodeRecord(b)
	return r, err == nil, nil
}

// put stores a record unless a newer one is there: KEYS[1]; ARGV: record, milliseconds,
// where the part ends that orders records, where their numbers end.
var put = redis.NewScript(`
local old = redis.pcall('GET', KEYS[1])
if type(old) == 'string' and #old >= tonumber(ARGV[4]) and string.sub(old, 1, 2) == string.sub(ARGV[1], 1, 2)
	and not string.find(string.sub(old, 3, ARGV[4]), '[^0-9a-f]')
	and string.sub(old, 1, ARGV[3]) > string.sub(ARGV[1], 1, ARGV[3]) then
	return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

// Put implements cache.Remote.
func (c *Cache) Put(ctx context.Context, key string, r cache.Record, ttl time.Duration) error {
	return put.Run(ctx, c.rdb, []string{c.prefix + key}, r.Encode(), max(ttl.Milliseconds(), 1), cache.RecordOrder, cache.RecordHeader).Err()
}
