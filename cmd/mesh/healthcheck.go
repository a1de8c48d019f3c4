package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout bounds the question: whoever asks has a limit of its own.
const healthTimeout = 2 * time.Second

func healthCommand(c *cli) *cobra.Command {
	var address string
	var ready bool
	cmd := &cobra.Command{
		Use: "health", Short: "Ask a process of the mesh whether it lives, or is ready", GroupID: groupLook, Args: exactly(),
		Long: "Ask the address that was given to --http. It is what a container's health check runs: the image\n" +
			"has no shell and no curl. Exit code 0 is yes, 1 is no, 2 is that nobody answers.",
		Example: "  mesh health\n  mesh health --ready --address 127.0.0.1:8080",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/livez"
			if ready {
				path = "/readyz?verbose"
			}
			return c.askHealth(cmd.Context(), address, path)
		},
	}
	f := cmd.Flags()
	f.StringVar(&address, "address", "127.0.0.1:8081", "`address` of /livez and /readyz")
	f.BoolVar(&ready, "ready", false, "whether it is ready for work, and not only alive")
	return cmd
}

func (c *cli) askHealth(ctx context.Context, address, path string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("--address %q must be host:port", address)
	}
	if host == "" { // as --http takes it: every interface
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return usagef("--address %q: %w", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return usagef("nobody answers at %s: %w", address, rootCause(err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	good, said := response.StatusCode == http.StatusOK, strings.TrimSpace(string(body))
	if c.json {
		err = c.printJSON(map[string]any{"good": good, "said": said})
	} else {
		_, err = fmt.Fprintln(c.out, said)
	}
	if err == nil && !good {
		return errSaid
	}
	return err
}
