package orders

import (
	"sync"
	"time"
)

// unwatched are the parcels that no flow watches over yet, as this process knows: it was
// the first to hear that they were sent, and has put them off or found them delivered.
// Until they come again nobody starts a flow, so who hears of a delivery meanwhile need
// not look for one. A flow that is started later sees the delivery by itself.
//
// It forgets after justSent, when they may have come again, to whomever.
type unwatched struct {
	mu         sync.Mutex
	young, old map[string]time.Time // until when, by order
	turned     time.Time
}

// note takes down a parcel, before it is put off.
func (u *unwatched) note(order string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.young == nil || now.Sub(u.turned) > justSent {
		u.young, u.old, u.turned = map[string]time.Time{}, u.young, now
	}
	u.young[order] = now.Add(justSent)
}

// take forgets a parcel and reports whether it is certain that no flow watches over it.
func (u *unwatched) take(order string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	until, known := u.young[order]
	if !known {
		until, known = u.old[order]
	}
	delete(u.young, order)
	delete(u.old, order)
	return known && now.Before(until)
}
