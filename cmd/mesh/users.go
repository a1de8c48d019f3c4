package main

import (
	"crypto/rand"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// devUsers makes a user for each service, with what its descriptor allows and a
// password that is known to this process alone, and the developer, who may do
// everything and needs no password on this machine.
func devUsers(services []contract.Service) ([]natsd.User, map[string]string) {
	users := []natsd.User{{Name: developer, Admin: true}}
	passwords := make(map[string]string, len(services))
	for _, s := range services {
		allowed := s.Permissions(contract.Development)
		passwords[s.Name] = rand.Text()
		users = append(users, natsd.User{
			Name: s.Name, Password: passwords[s.Name],
			Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses,
		})
	}
	return users, passwords
}
