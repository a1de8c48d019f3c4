package rpc_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

func TestHandlersMustMatchTheDescriptor(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	for name, tc := range map[string]struct {
		desc  contract.Service
		serve []contract.Method[greetReq, greetResp]
		want  string
	}{
		"missing":  {service(greet.Info(), write.Info()), []contract.Method[greetReq, greetResp]{greet}, "hello.write has no handler"},
		"foreign":  {service(greet.Info()), []contract.Method[greetReq, greetResp]{greet, write}, "hello.write is not among the methods"},
		"repeated": {service(greet.Info()), []contract.Method[greetReq, greetResp]{greet, greet}, "hello.greet has two handlers"},
	} {
		s, err := rpc.NewServer(conn, tc.desc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tc.serve {
			rpc.Handle(s, m, hello)
		}
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Run says %v, want %q", name, err, tc.want)
		}
	}
}

func TestBadOptionsAndDescriptors(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	for name, opt := range map[string]rpc.ServerOption{
		"concurrency": rpc.WithConcurrency(0), "queue": rpc.WithQueue(-1), "drain": rpc.WithDrainTimeout(0),
	} {
		if _, err := rpc.NewServer(conn, service(greet.Info()), opt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, desc := range map[string]contract.Service{
		"no name": {Serves: []contract.MethodInfo{greet.Info()}}, "wildcard": {Name: ">", Serves: []contract.MethodInfo{greet.Info()}},
		"nothing to serve": {Name: "hello"},
	} {
		if _, err := rpc.NewServer(conn, desc); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// user is a service's user as its descriptor derives it, less some subjects.
func user(desc contract.Service, without ...string) natsd.User {
	p := desc.Permissions(contract.Development)
	u := natsd.User{Name: desc.Name, Password: "secret", AllowResponses: p.Responses}
	keep := func(subjects []string) (kept []string) {
		for _, s := range subjects {
			if !slices.Contains(without, s) {
				kept = append(kept, s)
			}
		}
		return kept
	}
	u.Publish, u.Subscribe = keep(p.Publish), keep(p.Subscribe)
	return u
}

var caller = contract.Service{Name: "caller", Calls: []contract.MethodInfo{greet.Info()}}

func TestDerivedPermissionsSuffice(t *testing.T) {
	t.Parallel()
	desc := service(greet.Info())
	broker := bustest.Server(t, bustest.WithServer(natsd.Config{Users: []natsd.User{user(desc), user(caller)}}))
	start(t, broker.Dial(t, bustest.WithService("hello"), bustest.WithUser("hello", "secret")), hello)
	client := rpc.NewClient(broker.Dial(t, bustest.WithService("caller"), bustest.WithUser("caller", "secret")))
	if _, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "Ada"}); err != nil {
		t.Error(err)
	}
}

func TestDeniedSubscriptionEndsRun(t *testing.T) {
	t.Parallel()
	desc := service(greet.Info())
	for _, subject := range []string{"svc.hello.>", "$SRV.PING", "$SRV.STATS.hello"} {
		broker := bustest.Server(t, bustest.WithServer(natsd.Config{Users: []natsd.User{user(desc, subject)}}))
		conn := broker.Dial(t, bustest.WithService("hello"), bustest.WithUser("hello", "secret"))
		s, err := rpc.NewServer(conn, desc)
		if err != nil {
			t.Fatal(err)
		}
		rpc.Handle(s, greet, hello)
		var denied bus.Denied
		if err := s.Run(t.Context()); !errors.As(err, &denied) {
			t.Errorf("without %s: Run says %v", subject, err)
		}
		select {
		case <-s.Ready():
			t.Errorf("without %s: ready", subject)
		default:
		}
	}
}

func TestDeniedCallIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	broker := bustest.Server(t, bustest.WithServer(natsd.Config{Users: []natsd.User{user(caller)}}))
	client := rpc.NewClient(broker.Dial(t, bustest.WithService("caller"), bustest.WithUser("caller", "secret")))
	began := time.Now()
	_, err := rpc.Call(t.Context(), client, write, greetReq{}, rpc.WithTimeout(patience))
	if !errors.Is(err, rpc.ErrDenied) || !strings.Contains(err.Error(), "svc.hello.write") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

func TestRunEndsWhenTheConnectionIsClosed(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	s, err := rpc.NewServer(conn, service(greet.Info()))
	if err != nil {
		t.Fatal(err)
	}
	rpc.Handle(s, greet, hello)
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	<-s.Ready()
	conn.Close()
	if err := <-done; err == nil {
		t.Error("a server without a connection must not go on in silence")
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("a server runs once")
	}
}
