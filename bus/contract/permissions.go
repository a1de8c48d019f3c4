package contract

import (
	"slices"
	"time"
)

// flowLeaseTTL is how long a lease outlives the last heartbeat of its owner at most.
const flowLeaseTTL = 2 * time.Second

// Permissions are the subjects that a service's NATS user may use. Everything else
// is denied.
type Permissions struct {
	Publish   []string
	Subscribe []string
	// Responses allows answering requests on the reply subject they came with.
	Responses bool
}

// Rights selects how much of the JetStream API a service's user gets.
type Rights int

const (
	// Production: streams and durables exist already; the user can use them only.
	Production Rights = iota
	// Development: the user may also create the streams, buckets and durables that
	// its descriptor names.
	Development
)

// Permissions derives what the service's user may do. It never contains a
// wildcard over the JetStream API, a stream that the descriptor does not name, or
// another service's inbox.
func (s Service) Permissions(rights Rights) Permissions {
	p := &grant{rights: rights}
	p.sub(InboxPrefix(s.Name) + ".>")
	p.pub("$JS.API.INFO")
	if len(s.Serves) > 0 {
		p.sub("svc." + s.Name + ".>")
		// Verb by verb: who may subscribe to $SRV.* may subscribe to $SRV.> as well, for
		// the server takes the last token as one that the star matches.
		for _, verb := range []string{"PING", "INFO", "STATS"} {
			p.sub("$SRV."+verb, "$SRV."+verb+"."+s.Name, "$SRV."+verb+"."+s.Name+".*")
		}
	}
	for _, m := range s.Calls {
		p.pub(m.Subject())
	}
	for _, e := range s.Appends {
		p.pub(e.Filter())
		p.stream(e.Stream)
		p.load(e.Stream)
	}
	for _, c := range s.Consumes {
		p.durable(c.Events.Stream, c.Durable, c.Events.Filter())
		p.pub(DeadLetter(c.Events.Stream, c.Durable))
		p.stream(DLQStream)
	}
	for _, e := range slices.Concat(s.Views, s.Caches) {
		p.pub("$JS.API.STREAM.INFO."+e.Stream, "$JS.FC."+e.Stream+".>")
		p.durable(e.Stream, "*", e.Filter())
		p.pub("$JS.API.CONSUMER.DELETE." + e.Stream + ".*")
	}
	for _, b := range s.Books {
		p.bucket(b, ">")
	}
	if len(s.Settings) > 0 {
		p.follows(ConfigKV, Settings(s.Name))
		p.tells(s.Name)
	}
	for _, policy := range s.Policies {
		p.follows(PolicyKV, Policy(PolicyKey(s.Name, policy.Name)))
		p.tells(s.Name)
		if policy.Kind == PolicyCalls {
			p.pub(BreakerSubject(s.Name, policy.Name))
		}
	}
	if len(s.Flows) > 0 {
		p.flows(s.Name)
	}
	for _, other := range s.Starts {
		p.pub("flow."+other+".in.>", "$JS.API.STREAM.INFO."+FlowStream)
		p.load(FlowStream)
		p.objects(FlowPayloads)
	}
	if len(s.Follows) > 0 {
		p.follow()
	}
	return Permissions{Publish: p.unique(p.publish), Subscribe: p.unique(p.subscribe), Responses: len(s.Serves)+len(s.Consumes) > 0}
}

// Observing derives what people may do who look and change nothing: call the methods
// that read, read every stream and bucket, and ask who serves. It covers the inboxes of
// the nats CLI and of mesh's own tools.
func Observing(services ...Service) Permissions {
	p := &grant{}
	p.sub("_INBOX.>", InboxPrefix("mesh")+".>")
	p.pub("$SRV.>", "$JS.API.INFO", "$JS.FC.>",
		"$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.DIRECT.GET.>",
		"$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.LIST.*", "$JS.API.CONSUMER.INFO.*.*",
		"$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.MSG.NEXT.>")
	for _, s := range services {
		for _, m := range s.Serves {
			if m.Reads {
				p.pub(m.Subject())
			}
		}
	}
	return Permissions{Publish: p.unique(p.publish), Subscribe: p.unique(p.subscribe)}
}

type grant struct {
	rights             Rights
	publish, subscribe []string
}

func (g *grant) pub(subjects ...string) { g.publish = append(g.publish, subjects...) }
func (g *grant) sub(subjects ...string) { g.subscribe = append(g.subscribe, subjects...) }

func (g *grant) unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// stream allows looking at a stream and, in development, making it.
func (g *grant) stream(name string) {
	g.pub("$JS.API.STREAM.INFO." + name)
	if g.rights == Development {
		g.pub("$JS.API.STREAM.CREATE."+name, "$JS.API.STREAM.UPDATE."+name)
	}
}

// load allows reading single messages of a stream.
func (g *grant) load(stream string) {
	g.pub("$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>", "$JS.API.STREAM.MSG.GET."+stream)
}

// durable allows pulling from one consumer and acknowledging in both ack formats.
func (g *grant) durable(stream, name, filter string) {
	g.pub(
		"$JS.API.STREAM.INFO."+stream,
		"$JS.API.CONSUMER.INFO."+stream+"."+name,
		"$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name,
		"$JS.API.CONSUMER.UNPIN."+stream+"."+name,
		"$JS.ACK."+stream+"."+name+".>", "$JS.ACK.*.*."+stream+"."+name+".>",
	)
	if g.rights == Development || name == "*" {
		g.pub("$JS.API.CONSUMER.CREATE." + stream + "." + name + "." + filter)
	}
}

// bucket allows reading, writing and watching the keys of a bucket under prefix.
func (g *grant) bucket(name, keys string) {
	g.stream("KV_" + name)
	g.load("KV_" + name)
	g.pub("$KV."+name+"."+keys,
		"$JS.API.CONSUMER.CREATE.KV_"+name+".*.$KV."+name+"."+keys,
		"$JS.API.CONSUMER.INFO.KV_"+name+".*",
		"$JS.API.CONSUMER.DELETE.KV_"+name+".*", "$JS.FC.KV_"+name+".>")
}

// follows allows reading keys of a bucket, their history and what comes. No service writes
// its own settings or policies.
func (g *grant) follows(bucket, keys string) {
	stream := "KV_" + bucket
	g.stream(stream)
	g.durable(stream, "*", keys)
	g.pub("$JS.API.CONSUMER.DELETE."+stream+".*", "$JS.API.DIRECT.GET."+stream+"."+keys)
}

// tells allows telling what became of the service's settings and policies.
func (g *grant) tells(service string) {
	g.stream("KV_" + ConfigStatusKV)
	g.pub("$KV." + ConfigStatusKV + "." + service + ".>")
}

// objects allows reading and writing the objects of a bucket. A subject cannot say
// whose an object is: its name is in it, but encoded.
func (g *grant) objects(name string) {
	g.pub("$JS.API.STREAM.INFO.OBJ_"+name, "$O."+name+".C.>", "$O."+name+".M.>")
	g.load("OBJ_" + name)
}

// flows allows running and starting the service's own flows.
func (g *grant) flows(service string) {
	g.pub("flow."+service+".>", DeadLetter(FlowStream, "*"), InboxPrefix(service)+".>", "_INBOX.>")
	g.stream(FlowStream)
	g.load(FlowStream)
	g.stream(DLQStream)
	g.pub(
		"$JS.API.CONSUMER.INFO."+FlowStream+".*",
		"$JS.API.CONSUMER.MSG.NEXT."+FlowStream+".*",
		"$JS.API.CONSUMER.RESET."+FlowStream+".*",
		"$JS.API.CONSUMER.UNPIN."+FlowStream+".*",
		"$JS.API.CONSUMER.DELETE."+FlowStream+".*",
		"$JS.ACK."+FlowStream+".>", "$JS.ACK.*.*."+FlowStream+".>",
		"$JS.API.CONSUMER.CREATE."+FlowStream+".*.flow."+service+".log.>",
	)
	if g.rights == Development { // the durables of the partitions
		g.pub("$JS.API.CONSUMER.CREATE." + FlowStream + ".*.flow." + service + ".in.*.>")
	}
	g.bucket(FlowLeaseKV, service+".>")
	g.objects(FlowPayloads)
	g.stream("OBJ_" + FlowPayloads)
	g.pub("$JS.API.STREAM.PURGE.OBJ_" + FlowPayloads) // what ended flows leave behind
}

// follow allows reading the stream of flows through consumers that come and go. A
// consumer over inputs and journals has two filters, which its subject cannot name:
// reading FLOW means all of it. It does not allow removing consumers, which might be
// a partition's; a follower's own goes when it is idle.
func (g *grant) follow() {
	g.pub(
		"$JS.API.STREAM.INFO."+FlowStream,
		"$JS.API.CONSUMER.CREATE."+FlowStream+".*",
		"$JS.API.CONSUMER.INFO."+FlowStream+".*",
		"$JS.API.CONSUMER.MSG.NEXT."+FlowStream+".*",
	)
}
