package chaos

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// partitions is into how many shares the flows of a service are divided.
const partitions = 16

// Owners reads which sessions own the partitions of a service's flows, and which
// those are. Partitions that nobody owns are left out.
func Owners(ctx context.Context, js jetstream.JetStream, service string) (map[string]map[int]bool, error) {
	kv, err := js.KeyValue(ctx, contract.FlowLeaseKV)
	if err != nil {
		return nil, fmt.Errorf("read the owners of partitions: %w", err)
	}
	owners := map[string]map[int]bool{}
	for p := range partitions {
		entry, err := kv.Get(ctx, fmt.Sprintf("%s.p.%d", service, p))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the owner of partition %d: %w", p, err)
		}
		session := string(entry.Value())
		if owners[session] == nil {
			owners[session] = map[int]bool{}
		}
		owners[session][p] = true
	}
	return owners, nil
}
