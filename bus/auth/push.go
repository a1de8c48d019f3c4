package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Pushed is an account that a server took.
type Pushed struct {
	Tenant string `json:"tenant"`
	Key    string `json:"key"`
	Server string `json:"server"` // the one that answered; it tells the others
}

// Push gives every account to the servers that nc, the system user's connection,
// reaches. They use it from then on: users whose key or signing key is gone are
// disconnected. Pushing again is harmless.
func (f *Folder) Push(ctx context.Context, nc *nats.Conn) ([]Pushed, error) {
	_, accounts, err := f.Operator()
	if err != nil {
		return nil, err
	}
	var done []Pushed
	for _, text := range accounts {
		claims, err := jwt.DecodeAccountClaims(text)
		if err != nil {
			return done, fmt.Errorf("an account of %s cannot be read: %w", f.dir, err)
		}
		server, err := push(ctx, nc, claims.Subject, text)
		if err != nil {
			return done, fmt.Errorf("push the account %s: %w", claims.Name, err)
		}
		done = append(done, Pushed{Tenant: claims.Name, Key: claims.Subject, Server: server})
	}
	return done, nil
}

func push(ctx context.Context, nc *nats.Conn, account, text string) (server string, err error) {
	reply, err := nc.RequestWithContext(ctx, "$SYS.REQ.ACCOUNT."+account+".CLAIMS.UPDATE", []byte(text))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return "", errors.New("no server takes accounts there: use the system user's credentials, and nats-auth.conf in the server's configuration")
	case err != nil:
		return "", err
	}
	var answer struct {
		Server struct {
			Name string `json:"name"`
		} `json:"server"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := contract.UnmarshalLenient(reply.Data, &answer); err != nil {
		return "", fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	if answer.Error != nil {
		return "", fmt.Errorf("the server %s refuses it (%s): is it this folder's operator that it trusts?", answer.Server.Name, answer.Error.Description)
	}
	return answer.Server.Name, nil
}
