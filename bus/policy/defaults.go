package policy

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Default is what holds for a class of destinations without a document.
func Default(class contract.CallClass) Calls {
	switch class {
	case contract.CallsEdge:
		return Edge()
	case contract.CallsPartner:
		return Partner()
	case contract.CallsStore:
		return Store()
	case contract.CallsMesh:
	}
	return Mesh()
}

// The parts that no class has switched on; a document that says {"off":false} gets them.
func optional() Calls {
	return Calls{
		Bulkhead: Bulkhead{Off: true, Concurrent: 128, Wait: Duration(time.Second)},
		Rate:     Rate{Off: true, Calls: 1000, Per: Duration(time.Second), Wait: Duration(100 * time.Millisecond)},
		Adaptive: Adaptive{Off: true, Least: 4, Initial: 32, Most: 512, Wait: Duration(100 * time.Millisecond)},
		Hedge:    Hedge{Off: true, After: Duration(50 * time.Millisecond), Extra: 1},
	}
}

// Mesh is for the services of the mesh. They come back within a second when they are
// restarted, and asking one that is not there costs nothing: repeats are quick and the
// breaker is patient and closes soon.
func Mesh() Calls {
	c := optional()
	c.Retry = Retry{
		Attempts: 8, First: Duration(20 * time.Millisecond), Factor: 2, Max: Duration(time.Second), Jitter: 0.5, Budget: 0.5, Reserve: 100,
	}
	c.Breaker = Breaker{Failures: 20, Successes: 2, Open: Duration(time.Second)}
	return c
}

// Edge is for a gateway's calls of the services of the mesh, whose callers wait for as long
// as they have said. While the servers elect a leader, or a service is restarted, such a call
// is repeated to the end of its time and not given up after a second or two. An attempt ends
// earlier, because an instance that was killed never answers and another one would.
func Edge() Calls {
	c := Mesh()
	c.Timeout = Duration(4 * time.Second)
	c.Retry.Attempts = 1000
	c.Retry.Budget = 0.1 // what is overloaded is not asked again and again
	return c
}

// Partner is for firms outside of the mesh. Whoever calls tries again as well, so that a
// call does not repeat for long. Some of a partner's calls always fail, by the card or the
// address, and when they time out they do so together: the breaker counts a share and not a
// row. The bulkhead leaves half of a service's goroutines to those who do not need the
// partner.
func Partner() Calls {
	c := optional()
	c.Timeout = Duration(10 * time.Second)
	c.Retry = Retry{
		Attempts: 3, First: Duration(20 * time.Millisecond), Factor: 2, Max: Duration(100 * time.Millisecond), Jitter: 0.5, Budget: 0.2, Reserve: 10,
	}
	c.Breaker = Breaker{Failures: 10, Rate: 0.5, Within: Duration(5 * time.Second), Successes: 2, Open: Duration(10 * time.Second)}
	c.Bulkhead.Off = false
	return c
}

// Store is for databases and caches that the service can do without for a while: it is
// left alone at once and asked again soon, and what waits for a connection is bounded.
func Store() Calls {
	c := optional()
	c.Timeout = Duration(2 * time.Second)
	c.Retry = Retry{
		Attempts: 2, First: Duration(5 * time.Millisecond), Factor: 2, Max: Duration(50 * time.Millisecond), Jitter: 0.5, Budget: 0.1, Reserve: 10,
	}
	c.Breaker = Breaker{Failures: 5, Successes: 2, Open: Duration(time.Second)}
	return c
}
