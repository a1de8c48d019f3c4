package policy

// Calls says how a service calls one destination. Its JSON form is a policy document. What
// a document does not name stays as it is built in; "off" takes a part out.
type Calls struct {
	Timeout  Duration `json:"timeout" min:"0s" max:"10m" doc:"how long one attempt may take; 0s is as long as its caller waits"`
	Retry    Retry    `json:"retry"`
	Breaker  Breaker  `json:"breaker"`
	Bulkhead Bulkhead `json:"bulkhead"`
	Rate     Rate     `json:"rate"`
	Adaptive Adaptive `json:"adaptive"`
	Hedge    Hedge    `json:"hedge"`
}

// Retry repeats what is idempotent or has a command id, when the destination was not
// there, could not answer, was overloaded or did not answer in an attempt's time.
type Retry struct {
	Off      bool     `json:"off" doc:"true: nothing is repeated"`
	Attempts int      `json:"attempts" min:"1" max:"10000" doc:"tries in all"`
	First    Duration `json:"first" min:"1ms" max:"1h" doc:"pause after the first failure"`
	Factor   float64  `json:"factor" min:"1" max:"10" doc:"growth from pause to pause"`
	Max      Duration `json:"max" min:"1ms" max:"1h" doc:"longest pause"`
	Jitter   float64  `json:"jitter" min:"0" max:"1" doc:"the random part of each pause"`
	Budget   float64  `json:"budget" min:"0" max:"10" doc:"repeats that each call earns, in the long run"`
	Reserve  int      `json:"reserve" min:"0" max:"100000" doc:"repeats per second that need not be earned"`
}

// Breaker leaves a destination alone that fails.
type Breaker struct {
	Off       bool     `json:"off" doc:"true: every call is tried"`
	Failures  int      `json:"failures" min:"1" max:"10000" doc:"failures that open it"`
	Of        int      `json:"of" min:"0" max:"10000" doc:"among how many calls; 0: in a row"`
	Rate      float64  `json:"rate" min:"0" max:"1" doc:"share of failures that opens it instead, of at least as many calls as failures says; 0: failures are counted"`
	Within    Duration `json:"within" min:"0s" max:"1h" doc:"the time over which the share is taken; only with rate"`
	Successes int      `json:"successes" min:"1" max:"1000" doc:"successful probes that close it, of at most twice as many"`
	Open      Duration `json:"open" min:"10ms" max:"1h" doc:"how long it stays open before it lets probes through"`
}

// Bulkhead bounds how many attempts run at the same time, so that a destination that
// hangs cannot take all of the service with it.
type Bulkhead struct {
	Off        bool     `json:"off" doc:"true: no bound"`
	Concurrent int      `json:"concurrent" min:"1" max:"100000" doc:"attempts at the same time"`
	Wait       Duration `json:"wait" min:"0s" max:"1m" doc:"how long an attempt waits for its turn before it is exhausted"`
}

// Rate bounds how many attempts begin in a time.
type Rate struct {
	Off   bool     `json:"off" doc:"true: no bound"`
	Calls int      `json:"calls" min:"1" max:"10000000" doc:"attempts, evenly spread"`
	Per   Duration `json:"per" min:"1ms" max:"24h" doc:"in this time"`
	Wait  Duration `json:"wait" min:"0s" max:"1m" doc:"how long an attempt waits for its turn before it is exhausted"`
}

// Adaptive bounds how many attempts run at the same time by how fast the destination
// answers: fewer when it becomes slower.
type Adaptive struct {
	Off     bool     `json:"off" doc:"true: no bound"`
	Least   int      `json:"least" min:"1" max:"100000" doc:"the smallest bound"`
	Initial int      `json:"initial" min:"1" max:"100000" doc:"the bound at start"`
	Most    int      `json:"most" min:"1" max:"100000" doc:"the largest bound"`
	Wait    Duration `json:"wait" min:"0s" max:"1m" doc:"how long an attempt waits for its turn before it is exhausted"`
}

// Hedge asks again when an answer is slow, and takes the first answer. Only reads that are
// idempotent are hedged.
type Hedge struct {
	Off   bool     `json:"off" doc:"true: nothing is asked twice"`
	After Duration `json:"after" min:"1ms" max:"1m" doc:"how long to wait for an answer first"`
	Extra int      `json:"extra" min:"1" max:"5" doc:"further requests at most"`
}
