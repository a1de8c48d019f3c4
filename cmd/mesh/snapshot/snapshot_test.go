package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/cmd/mesh/snapshot"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

func TestMain(m *testing.M) {
	bustest.Parallel()
	os.Exit(m.Run())
}

func silent(snapshot.Stream, time.Duration) {}

func connect(t *testing.T, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes a stream with a consumer halfway through it and a hole, a bucket with a
// deleted key, and an object.
func fill(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	ctx := t.Context()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "ORDERS", Subjects: []string{"evt.order.*"}, Replicas: replicas, AllowMsgTTL: true, AllowDirect: true,
	})
	must(t, err)
	for i := range 100 {
		msg := &nats.Msg{Subject: fmt.Sprintf("evt.order.o%d", i%7), Data: bytes.Repeat([]byte{byte(i)}, 100*i), Header: nats.Header{"N": {fmt.Sprint(i)}}}
		_, err := js.PublishMsg(ctx, msg)
		must(t, err)
	}
	_, err = js.Publish(ctx, "evt.order.brief", nil, jetstream.WithMsgTTL(2*time.Second))
	must(t, err)
	must(t, stream.DeleteMsg(ctx, 50))
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, Replicas: replicas})
	must(t, err)
	batch, err := consumer.Fetch(40, jetstream.FetchMaxWait(30*time.Second))
	must(t, err)
	for msg := range batch.Messages() {
		must(t, msg.DoubleAck(ctx))
	}
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "book", Replicas: replicas})
	must(t, err)
	for _, key := range []string{"a", "b", "c", "a"} {
		_, err := kv.Put(ctx, key, []byte(key))
		must(t, err)
	}
	must(t, kv.Delete(ctx, "c"))
	objects, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "large", Replicas: replicas})
	must(t, err)
	_, err = objects.PutBytes(ctx, "one", bytes.Repeat([]byte("x"), 300_000))
	must(t, err)
}

// whole checks that a server has what fill made.
func whole(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx := t.Context()
	stream, err := js.Stream(ctx, "ORDERS")
	must(t, err)
	msg, err := stream.GetMsg(ctx, 77)
	must(t, err)
	if msg.Header.Get("N") != "76" || len(msg.Data) != 7600 {
		t.Errorf("message 77 is number %s with %d bytes", msg.Header.Get("N"), len(msg.Data))
	}
	if _, err := stream.GetMsg(ctx, 50); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("the deleted message: %v", err)
	}
	consumer, err := stream.Consumer(ctx, "reader")
	must(t, err)
	if info := consumer.CachedInfo(); info.AckFloor.Stream != 40 {
		t.Errorf("the consumer has acknowledged up to %d", info.AckFloor.Stream)
	}
	next, err := consumer.Next(jetstream.FetchMaxWait(30 * time.Second))
	must(t, err)
	if meta, err := next.Metadata(); err != nil || meta.Sequence.Stream != 41 {
		t.Errorf("the consumer goes on at %+v, %v", meta, err)
	}
	ack, err := js.Publish(ctx, "evt.order.new", nil)
	must(t, err)
	if ack.Sequence != 102 {
		t.Errorf("the next message gets sequence %d", ack.Sequence)
	}
	kv, err := js.KeyValue(ctx, "book")
	must(t, err)
	if entry, err := kv.Get(ctx, "a"); err != nil || entry.Revision() != 4 {
		t.Errorf("key a: %v, %v", entry, err)
	}
	if _, err := kv.Get(ctx, "c"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the deleted key: %v", err)
	}
	objects, err := js.ObjectStore(ctx, "large")
	must(t, err)
	if data, err := objects.GetBytes(ctx, "one"); err != nil || len(data) != 300_000 {
		t.Errorf("the object has %d bytes, %v", len(data), err)
	}
}

func TestARestoredServerHasEverything(t *testing.T) {
	t.Parallel()
	nc, js := connect(t, bustest.Server(t).URL())
	fill(t, js, 1)
	dir := filepath.Join(t.TempDir(), "copy")
	taken, err := snapshot.Take(t.Context(), nc, dir, "test", silent)
	must(t, err)
	if _, err := snapshot.Take(t.Context(), nc, dir, "test", silent); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second copy into the same folder: %v", err)
	}
	if _, err := snapshot.Restore(t.Context(), nc, dir, snapshot.Options{}); !errors.Is(err, snapshot.ErrExists) || !strings.Contains(err.Error(), "KV_book, OBJ_large, ORDERS") {
		t.Errorf("into the server it is from: %v", err)
	}
	bustest.Eventually(t, time.Minute, func() bool { // the brief message's time is over, so it is not restored
		info, err := js.Stream(t.Context(), "ORDERS")
		return err == nil && info.CachedInfo().State.Msgs == 99
	})
	scratch, fresh := connect(t, bustest.Server(t).URL())
	m, err := snapshot.Restore(t.Context(), scratch, dir, snapshot.Options{})
	must(t, err)
	compared, err := snapshot.Compare(t.Context(), scratch, dir, &m)
	must(t, err)
	left := uint64(0)
	for i, c := range compared {
		left += c.Left
		if !c.Same || c.Hash != taken.Streams[i].Hash {
			t.Errorf("%+v, taken %s", c, taken.Streams[i].Hash)
		}
	}
	if want := taken.Streams[2].Messages - 99; left != want { // unless it was too late for the copy
		t.Errorf("%d messages left by themselves, not the %d whose time was over", left, want)
	}
	whole(t, fresh)
}

// TestADifferenceIsFound changes a restored server in every way that a comparison knows.
func TestADifferenceIsFound(t *testing.T) {
	t.Parallel()
	nc, js := connect(t, bustest.Server(t).URL())
	fill(t, js, 1)
	dir := t.TempDir()
	m, err := snapshot.Take(t.Context(), nc, dir, "test", silent)
	must(t, err)
	stream, err := js.Stream(t.Context(), "ORDERS")
	must(t, err)
	must(t, stream.DeleteMsg(t.Context(), 60))
	must(t, stream.DeleteConsumer(t.Context(), "reader"))
	must(t, js.DeleteKeyValue(t.Context(), "book"))
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "book"})
	must(t, err)
	for _, key := range []string{"x", "b", "c", "a", "c", "d"} {
		_, err = kv.Put(t.Context(), key, []byte("another"))
		must(t, err)
	}
	compared, err := snapshot.Compare(t.Context(), nc, dir, &m)
	must(t, err)
	said := fmt.Sprint(compared)
	for _, want := range []string{"message 60 on evt.order.o3 is missing", "consumer reader is not there", "message 4 on $KV.book.a is another", "message 1 on $KV.book.x is not in the backup", "its hash is"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said in %s", want, said)
		}
	}
	if compared[1].Stream != "OBJ_large" || !compared[1].Same {
		t.Errorf("the object store did not change: %+v", compared[1])
	}
}

func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	nc, js := connect(t, bustest.Server(t).URL())
	fill(t, js, 1)
	dir := t.TempDir()
	_, err := snapshot.Take(t.Context(), nc, dir, "test", silent)
	must(t, err)
	path := func(name string) string { return filepath.Join(dir, name) }
	text, err := os.ReadFile(path("ORDERS.snapshot"))
	must(t, err)
	for offset := 0; offset < len(text); offset += len(text)/20 + 1 {
		bad := bytes.Clone(text)
		bad[offset] ^= 1
		must(t, os.WriteFile(path("ORDERS.snapshot"), bad, 0o600))
		if _, err := snapshot.Check(dir); err == nil || !strings.Contains(err.Error(), "ORDERS.snapshot is damaged") {
			t.Errorf("a bit at %d: %v", offset, err)
		}
	}
	must(t, os.WriteFile(path("ORDERS.snapshot"), text[:len(text)-1], 0o600))
	must(t, os.Remove(path("KV_book.snapshot")))
	scratch, fresh := connect(t, bustest.Server(t).URL())
	_, err = snapshot.Restore(t.Context(), scratch, dir, snapshot.Options{})
	if err == nil || !strings.Contains(err.Error(), "ORDERS.snapshot is damaged") || !strings.Contains(err.Error(), "KV_book.snapshot is missing") {
		t.Errorf("a cut and a missing file: %v", err)
	}
	if info, err := fresh.AccountInfo(t.Context()); err != nil || info.Streams != 0 {
		t.Errorf("a backup that cannot be used was begun: %+v, %v", info, err)
	}
	must(t, os.Remove(path("manifest.json")))
	if _, err := snapshot.Check(dir); err == nil || !strings.Contains(err.Error(), "no finished backup") {
		t.Errorf("without a manifest: %v", err)
	}
}

// TestKeysThatAreWrittenAgainAreNotLost: while the copy is taken, every key of a bucket
// is written again and again, so that what was there is gone before it is read; and one
// writer puts an effect into A only after its cause is in B.
func TestKeysThatAreWrittenAgainAreNotLost(t *testing.T) {
	t.Parallel()
	const keys = 50
	nc, js := connect(t, bustest.Server(t).URL())
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "hot"})
	must(t, err)
	for _, name := range []string{"A", "B"} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}})
		must(t, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writing, written sync.WaitGroup
	written.Add(2)
	writing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if i == keys {
				written.Done()
			}
			_, _ = kv.Put(ctx, fmt.Sprint("k", i%keys), nil)
		}
	})
	writing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if i == keys {
				written.Done()
			}
			for _, name := range []string{"B", "A"} {
				_, _ = js.Publish(ctx, name, nil)
			}
		}
	})
	written.Wait()
	dir := t.TempDir()
	m, err := snapshot.Take(t.Context(), nc, dir, "test", silent)
	stop()
	writing.Wait()
	must(t, err)
	scratch, fresh := connect(t, bustest.Server(t).URL())
	_, err = snapshot.Restore(t.Context(), scratch, dir, snapshot.Options{})
	must(t, err)
	compared, err := snapshot.Compare(t.Context(), scratch, dir, &m)
	must(t, err)
	for _, c := range compared {
		if !c.Same {
			t.Errorf("%+v", c)
		}
	}
	kv, err = fresh.KeyValue(t.Context(), "hot")
	must(t, err)
	found, err := kv.Keys(t.Context())
	must(t, err)
	if len(found) != keys {
		t.Errorf("%d of %d keys are in the copy", len(found), keys)
	}
	ends := map[string]uint64{}
	for _, s := range m.Streams {
		ends[s.Name] = s.Last
	}
	if ends["A"] > ends["B"] || ends["B"] > ends["A"]+1 {
		t.Errorf("%d effects and %d causes are not of one moment", ends["A"], ends["B"])
	}
}

// TestFromAClusterIntoAnother: three copies of each stream, on both sides.
func TestFromAClusterIntoAnother(t *testing.T) {
	t.Parallel()
	if os.Getenv("MESH_LONG") == "" {
		t.Skip("two clusters take ten seconds: set MESH_LONG=1")
	}
	cluster := func() (*nats.Conn, jetstream.JetStream) {
		c, err := natsd.StartCluster(t.Context(), 3, t.TempDir(), natsd.Config{})
		must(t, err)
		t.Cleanup(func() {
			if err := c.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return connect(t, c.URL())
	}
	nc, js := cluster()
	fill(t, js, 3)
	dir := t.TempDir()
	_, err := snapshot.Take(t.Context(), nc, dir, "test", silent)
	must(t, err)
	for _, replicas := range []int{0, 1} {
		scratch, fresh := cluster()
		m, err := snapshot.Restore(t.Context(), scratch, dir, snapshot.Options{Replicas: replicas})
		must(t, err)
		compared, err := snapshot.Compare(t.Context(), scratch, dir, &m)
		must(t, err)
		for _, c := range compared {
			if !c.Same {
				t.Errorf("%d replicas: %+v", replicas, c)
			}
		}
		whole(t, fresh)
	}
}
