// Package rule decides by rules that people write while the service runs: conditions in
// CEL (https://cel.dev) over variables that the service declares, in order, the first that
// holds wins.
//
//	{"rules": [
//	   {"name": "embargo",   "when": "order.country in ['KP', 'SY']",                       "then": "reject", "reason": "we do not ship there"},
//	   {"name": "first_big", "when": "order.total > 50000 && customer.orders == 0",         "then": "hold"},
//	   {"name": "bulk",      "when": "order.lines.exists(l, l.quantity > 1000)",            "then": "hold"}
//	 ],
//	 "otherwise": "accept"}
//
// The variables are a Go struct ([NewEnv]); [Env.Parse] reads a set, types and all, and says
// of what it cannot use which rule and column are wrong; [Set.Decide] evaluates it.
//
// It promises that the same set decides the same about the same variables: there is no
// function that reads a clock, a file or a network, none that is random, and times are
// in UTC. That a decision ends: the cost of a set is estimated when it is read, from the
// greatest sizes that the struct declares, and a set that may cost more than [MaxCost] is
// refused; rules are counted while they run, too, and stopped at the same limit.
// And that what goes wrong never accepts: a rule that fails holds.
//
// A set that was read does not change and may be used by many goroutines. Deciding takes a
// few hundred nanoseconds and allocates little.
//
// It is not for computing values, only for choosing between three outcomes, and not for
// what a program could decide as well: rules are for what changes from day to day.
//
// # Why it is so
//
// Counting doubles what a rule costs, so it is left out where the estimate cannot be far
// wrong: when all variables are as small as declared, which is looked at each time, and the
// rule has no macro (all, exists, exists_one, filter, map; CEL has no other loop) or may
// cost a tenth of the limit at most.
//
// A rule that fails does not let the next ones decide. It was written to catch something,
// and nobody knows whether it would have.
package rule
