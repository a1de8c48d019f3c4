package judge

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// readAcked reads order ids, one a line. A line that is no id is refused: a file that
// was cut must not look like a shorter one.
func readAcked(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the acknowledged orders: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	var ids []string
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		id := strings.TrimSpace(lines.Text())
		switch {
		case id == "":
		case !contract.ValidID(id):
			return nil, fmt.Errorf("read the acknowledged orders: line %d of %s is no order id: %q", n, path, id)
		default:
			ids = append(ids, id)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the acknowledged orders: %w", err)
	}
	return ids, nil
}

// acknowledged holds the mesh to every order that a client was told of.
func (c *court) acknowledged(ids []string) {
	c.docket.looked(checkAcked, len(ids))
	for _, id := range ids {
		if o := c.orders.orders[id]; o == nil || o.at[orders.Placed] == 0 {
			c.docket.find(checkAcked, Finding{Entity: "order " + id, Subject: "evt.order." + id, Expected: "the order, which was acknowledged", Is: "not stored"})
		}
	}
}
