package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/topology"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// production is what `mesh run --profile production` is told of things that it cannot
// see, and of those that are unsafe on purpose.
type production struct {
	serverSync string
	singleCopy bool
	sandbox    bool
}

// The environment says the same as the flags.
const (
	envServerSync = "MESH_SERVER_SYNC"
	envSingleCopy = "MESH_SINGLE_COPY"
	envSandbox    = "MESH_SANDBOX"
)

func (p *production) add(f *pflag.FlagSet) {
	f.StringVar(&p.serverSync, "server-sync", "", "production: the sync_interval of every NATS server, which no service can see; "+
		"only \"`always`\" is safe (default $"+envServerSync+")")
	f.BoolVar(&p.singleCopy, "single-copy", false, "production: accept streams with one copy (or $"+envSingleCopy+"=true)")
	f.BoolVar(&p.sandbox, "sandbox", false, "production: accept the sandboxes as payment provider and carrier, for rehearsals (or $"+envSandbox+"=true)")
}

// fromEnvironment fills in what no flag says.
func (p *production) fromEnvironment() error {
	p.serverSync = cmp.Or(p.serverSync, os.Getenv(envServerSync))
	for name, on := range map[string]*bool{envSingleCopy: &p.singleCopy, envSandbox: &p.sandbox} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		value, err := strconv.ParseBool(text)
		if err != nil {
			return usagef("%s=%q: use true or false", name, text)
		}
		*on = *on || value
	}
	return nil
}

// admit returns once everything that a production mesh must not lack was found to be
// there; otherwise its error names all that is wrong, at once. While no server answers
// it waits, unless the command line alone is reason enough to refuse.
func (p *production) admit(ctx context.Context, n *natsFlags, services []service, dial dialer) error {
	if err := p.fromEnvironment(); err != nil {
		return err
	}
	wrong := slices.Concat(p.ofServers(), n.unsafe(services), p.ofPartners(services))
	if n.clearText() {
		wrong = append(wrong, "streams and consumers were not looked at, because a password would have crossed the network in clear text")
		return refusal(wrong)
	}
	looking, cancel := ctx, context.CancelFunc(func() {})
	if len(wrong) > 0 {
		looking, cancel = context.WithTimeout(ctx, connectTimeout)
	}
	defer cancel()
	stored, err := p.ofStreams(looking, services, dial)
	switch {
	case err != nil && len(wrong) == 0:
		return err
	case err != nil:
		stored = []string{fmt.Sprintf("streams and consumers could not be looked at: %v", err)}
	}
	return refusal(append(wrong, stored...))
}

// refusal is nil when nothing is wrong.
func refusal(wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("not fit for production, %d things are wrong:\n  - %s\n'mesh topology plan' shows what 'mesh topology apply' can mend",
		len(wrong), strings.Join(wrong, "\n  - "))
}

// ofServers is what is wrong with what we were told of the servers.
func (p *production) ofServers() []string {
	switch p.serverSync {
	case "always":
		return nil
	case "":
		return []string{"sync_interval: a service cannot see when the servers write to their disks: set jetstream { sync_interval: always } " +
			"in each, check it with 'mesh topology check --system-creds', then say --server-sync always"}
	}
	return []string{fmt.Sprintf("sync_interval: it is %q: a power cut loses what was acknowledged; only always is safe", p.serverSync)}
}

// sandboxes play the outside firms.
var sandboxes = []contract.Service{sandbox.Provider, sandbox.Carrier}

// ofPartners names the services that take no money or move no parcel, because a sandbox
// plays their partner, and the sandboxes themselves.
func (p *production) ofPartners(services []service) []string {
	if p.sandbox {
		return nil
	}
	var wrong []string
	for _, s := range services {
		for _, box := range sandboxes {
			switch {
			case s.desc.Name == box.Name:
				wrong = append(wrong, "sandbox: "+box.Name+" only plays an outside firm; --sandbox accepts it for a rehearsal")
			case slices.ContainsFunc(s.desc.Calls, func(m contract.MethodInfo) bool { return m.Service == box.Name }):
				wrong = append(wrong, "sandbox: the partner of "+s.desc.Name+" is the sandbox "+box.Name+"; --sandbox accepts it for a rehearsal")
			}
		}
	}
	return wrong
}

// ofStreams looks at what each service needs, as that service, because it may look at
// nothing else.
func (p *production) ofStreams(ctx context.Context, services []service, dial dialer) ([]string, error) {
	var mu sync.Mutex
	var wrong []string
	var errs []error
	var looking sync.WaitGroup
	for _, s := range services {
		looking.Go(func() {
			found, err := p.ofService(ctx, s.desc, dial)
			mu.Lock()
			defer mu.Unlock()
			wrong = append(wrong, found...)
			if err != nil && !errors.Is(err, context.Canceled) {
				errs = append(errs, fmt.Errorf("service %s: %w", s.desc.Name, err))
			}
		})
	}
	looking.Wait()
	slices.Sort(wrong)
	if err := ctx.Err(); err != nil && len(errs) == 0 {
		errs = append(errs, err)
	}
	return slices.Compact(wrong), errors.Join(errs...)
}

func (p *production) ofService(ctx context.Context, desc contract.Service, dial dialer) ([]string, error) {
	conn, err := dial(ctx, desc.Name)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer conn.WatchDenied(func(d bus.Denied) { stop(d) })()
	look := topology.Planner{JetStream: conn.JetStream(), Replicas: productionReplicas, More: true}
	if p.singleCopy {
		look.Replicas = 1
	}
	items, err := look.Plan(ctx, contract.Streams(desc), contract.Consumers(desc))
	if denied, ok := errors.AsType[bus.Denied](context.Cause(ctx)); ok {
		err = denied
	}
	return topology.Problems(items), err
}

// unsafe is what is wrong with how services are to connect.
func (n *natsFlags) unsafe(services []service) []string {
	var wrong []string
	for address := range strings.SplitSeq(n.address(), ",") {
		if u, err := parseServer(address); err == nil && !n.encrypted(u) && !loopback(u.Hostname()) {
			wrong = append(wrong, "tls: "+u.Host+" is not on this machine and would be spoken to in clear text: use tls:// or --tls-ca")
		}
	}
	if n.anonymous() {
		wrong = append(wrong, "credentials: none are given: use --creds or NATS_CREDS")
	}
	if hasPassword(n.url) {
		wrong = append(wrong, "credentials: the password in --nats can be read by everybody on this machine: use --creds or NATS_URL")
	}
	if n.sharedUser(services) {
		wrong = append(wrong, "credentials: one user for "+strconv.Itoa(len(services))+" services has the rights of all of them: let --creds name a folder with a file for each")
	}
	return wrong
}

// clearText reports whether a password would cross a network unencrypted.
func (n *natsFlags) clearText() bool {
	return slices.ContainsFunc(strings.Split(n.address(), ","), func(address string) bool {
		u, err := parseServer(address)
		return err == nil && u.User != nil && !n.encrypted(u) && !loopback(u.Hostname())
	})
}

// anonymous reports whether nothing says who connects.
func (n *natsFlags) anonymous() bool {
	return n.credentials() == "" && !slices.ContainsFunc(strings.Split(n.address(), ","), func(address string) bool {
		u, err := parseServer(address)
		return err == nil && u.User != nil
	})
}

// sharedUser reports whether several services in one process would be the same user.
func (n *natsFlags) sharedUser(services []service) bool {
	if len(services) < 2 || n.anonymous() {
		return false
	}
	info, err := os.Stat(n.credentials())
	return err != nil || !info.IsDir()
}

func (n *natsFlags) credentials() string { return cmp.Or(n.creds, os.Getenv("NATS_CREDS")) }

// encrypted reports whether the client insists on TLS with this server.
func (n *natsFlags) encrypted(u *url.URL) bool {
	return u.Scheme == "tls" || u.Scheme == "wss" || n.tls() != bus.TLS{}
}

func hasPassword(list string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(address string) bool {
		u, err := parseServer(address)
		if err != nil || u.User == nil {
			return false
		}
		_, has := u.User.Password()
		return has
	})
}

// parseServer reads one address of a list as the client library does.
func parseServer(address string) (*url.URL, error) {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, "://") {
		address = "nats://" + address
	}
	return url.Parse(address)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
