package chaos

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// F23: every service is started before there is a server. None of them ends or says that
// it is ready; soon after the server has come, all are.
func TestServicesComeBeforeTheServer(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	m := NewMeshOn(t, built(t, Plain), "nats://127.0.0.1:"+strconv.Itoa(port))
	groups := [][]string{everyService}
	if ScaleFromEnv() != Short {
		groups = nil
		for _, service := range everyService {
			groups = append(groups, []string{service})
		}
	}
	var addresses []string
	var processes []*Joined
	for _, group := range groups {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
		j, err := m.begin(m.binary, address, nil, group...)
		if err != nil {
			t.Fatal(err)
		}
		addresses, processes = append(addresses, address), append(processes, j)
	}
	for _, address := range addresses {
		if _, why, err := AwaitReady(t.Context(), address, false, readyTimeout); err != nil || why == "" {
			t.Fatalf("without a server %s says %q, %v", address, why, err)
		}
	}
	begun := time.Now()
	server, err := natsd.StartChild(t.Context(), natsd.Config{Port: port, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, address := range addresses {
		if _, _, err := AwaitReady(t.Context(), address, true, readyTimeout); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d processes, all ready %v after the start of the server (promised 5s)", len(processes), time.Since(begun).Round(time.Millisecond))
	for _, j := range processes {
		select {
		case <-j.process.done:
			t.Errorf("%s ended: %v", j.process.name, j.process.err)
		default:
		}
	}
}
