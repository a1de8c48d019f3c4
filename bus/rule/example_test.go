package rule_test

import (
	"fmt"

	"github.com/ordermesh/ordermesh/bus/rule"
)

// Example decides about loans of a library.
func Example() {
	type reader struct {
		Overdue int64 `json:"overdue" doc:"books that should be back"`
	}
	type book struct {
		Shelf string `json:"shelf" max:"20"`
		Worth int64  `json:"worth"`
	}
	type loan struct {
		Reader reader `json:"reader"`
		Book   book   `json:"book"`
	}
	env, err := rule.NewEnv[loan]()
	if err != nil {
		panic(err)
	}
	set, err := env.Parse([]byte(`{"rules":[
		{"name":"overdue","when":"reader.overdue > 3","then":"reject","reason":"bring some back first"},
		{"name":"rare","when":"book.shelf == 'vault' || book.worth > 500","then":"hold"}
	],"otherwise":"accept"}`))
	if err != nil {
		panic(err)
	}
	var l loan
	for _, change := range []func(){func() {}, func() { l.Book.Shelf = "vault" }, func() { l.Reader.Overdue = 4 }} {
		change()
		d := set.Decide(&l)
		fmt.Printf("%s %q %q\n", d.Outcome, d.Rule, d.Reason)
	}
	_, err = env.Parse([]byte(`{"rules":[{"name":"late","when":"reader.overdu > 3","then":"hold"}],"otherwise":"accept"}`))
	fmt.Println(err)
	// Output:
	// accept "" ""
	// hold "rare" "rare"
	// reject "overdue" "bring some back first"
	// rule late, column 7: undefined field 'overdu'
}
