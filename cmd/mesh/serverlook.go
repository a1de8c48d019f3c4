package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// serverLook asks the servers themselves, which only a user of the system account may.
type serverLook struct{ nats, creds string }

func (l *serverLook) add(f *pflag.FlagSet) {
	f.StringVar(&l.creds, "system-creds", "", "`file` with credentials of the system account, to look at the servers as well")
	f.StringVar(&l.nats, "system-nats", "", "`URL` with a user of the system account, instead of --system-creds")
}

func (l *serverLook) asked() bool { return l.nats != "" || l.creds != "" }

// serversAnswer is how long the last server may take to answer after the one before.
const serversAnswer = 500 * time.Millisecond

// jetStreamNote is what a server says of its JetStream.
type jetStreamNote struct {
	Server struct {
		Name string `json:"name"`
	} `json:"server"`
	Data struct {
		Disabled bool `json:"disabled"`
		Config   struct {
			StoreDir     string `json:"store_dir"`
			SyncAlways   bool   `json:"sync_always"`
			SyncInterval int64  `json:"sync_interval"` // nanoseconds
		} `json:"config"`
	} `json:"data"`
}

// at asks every server of the cluster; it returns how many there are and what is wrong
// with them.
func (l *serverLook) at(ctx context.Context, n *natsFlags) (servers int, wrong []string, err error) {
	flags := *n
	if l.nats != "" {
		flags.url = l.nats
	}
	flags.creds = l.creds
	conn, err := flags.connect(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("as a user of the system account: %w", err)
	}
	defer conn.Close()
	nc := conn.NATS()
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, nil, err
	}
	if err := nc.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", inbox, []byte(`{}`)); err != nil {
		return 0, nil, err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, serversAnswer)
		msg, err := sub.NextMsgWithContext(wait)
		cancel()
		if err != nil || msg.Header.Get("Status") == "503" {
			break
		}
		var note jetStreamNote
		if err := contract.UnmarshalLenient(msg.Data, &note); err != nil {
			return servers, nil, fmt.Errorf("read what a server says of its JetStream: %w", err)
		}
		servers++
		wrong = append(wrong, note.wrong()...)
	}
	if servers == 0 {
		return 0, nil, usagef("no server answered: is %s a user of the system account?", strings.Join(nonEmpty(l.creds, l.nats), " or "))
	}
	slices.Sort(wrong)
	return servers, wrong, nil
}

func (n *jetStreamNote) wrong() []string {
	var list []string
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			list = append(list, "server "+n.Server.Name+" "+fmt.Sprintf(format, args...))
		}
	}
	cfg := n.Data.Config
	if n.Data.Disabled || cfg.StoreDir == "" {
		return nil // it stores nothing
	}
	demand(cfg.SyncAlways, "writes to its disk every %s only: a power cut loses what was acknowledged; set jetstream { sync_interval: always }", time.Duration(cfg.SyncInterval))
	demand(!temporary(cfg.StoreDir), "stores in %s, which is emptied at a restart: set jetstream { store_dir: ... }", cfg.StoreDir)
	return list
}

// temporary reports whether a system may clear the folder.
func temporary(dir string) bool {
	for _, root := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run", os.TempDir()} {
		if inside, err := filepath.Rel(root, dir); err == nil && inside != ".." && !strings.HasPrefix(inside, "../") {
			return true
		}
	}
	return false
}

func nonEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}
