package auth_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// A folder with one tenant: its services get credentials that their descriptors limit.
func Example() {
	dir, err := os.MkdirTemp("", "auth-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	greet := contract.NewMethod[struct{}, struct{}]("greeter", "greet")
	greeter := contract.Service{Name: "greeter", Serves: []contract.MethodInfo{greet.Info()}}

	folder, err := auth.Init(filepath.Join(dir, "auth"))
	if err != nil {
		log.Fatal(err)
	}
	if err := folder.AddTenant("main", auth.Limits{}, []contract.Service{greeter}); err != nil {
		log.Fatal(err)
	}
	users, err := folder.Users("main")
	if err != nil {
		log.Fatal(err)
	}
	for _, u := range users {
		fmt.Println(u.Name, "connects with", strings.TrimPrefix(u.Creds, folder.Dir()))
	}
	// Output:
	// admin connects with /creds/main/admin.creds
	// greeter connects with /creds/main/greeter.creds
}
