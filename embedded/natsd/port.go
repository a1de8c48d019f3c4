package natsd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// portFree fails when the port cannot be listened on, before the store is touched.
func portFree(port int) error {
	if port == anyPort {
		return nil
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(host, strconv.Itoa(port)))
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fail(ErrPortTaken, "port %d on %s is taken by another program: stop it or choose another port", port, host)
	}
	return fail(ErrConfig, "port %d on %s cannot be used (%v): choose another port", port, host, err)
}

// Ports below the range that the system hands out by itself, so that a port stays
// ours between being chosen and being listened on.
const (
	firstPort = 20000
	portCount = 12000
)

// freePorts chooses n different ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for range 50 * n {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(portCount)
		l, err := net.Listen("tcp4", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		held = append(held, l)
		ports = append(ports, port)
	}
	if len(ports) == n {
		return ports, nil
	}
	return nil, fmt.Errorf("no %d free ports found between %d and %d on %s", n, firstPort, firstPort+portCount, host)
}
