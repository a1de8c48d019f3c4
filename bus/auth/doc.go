// Package auth keeps the identities of a mesh whose parts run apart: who signs for
// whom, and which subjects each service's user may use.
//
// # What it makes
//
// A [Folder] on disk holds one operator, the system account and one account per
// tenant. Within a tenant every service has a signing key of its own whose scope is
// what its descriptor says (contract.Service.Permissions with production rights):
// whoever holds that key can make users of this service and nothing more. Two roles
// are for people and tools: [Admin] may do everything within its tenant and makes
// streams, [Observer] reads. The server trusts the operator alone; it holds no list
// of users, so a new user needs no change there, and a new tenant or a rotated key
// needs [Folder.Push] and no restart.
//
//	operator.jwt                      who signs accounts
//	keys/operator.nk                  its key: needed to add, update and rotate, not to run
//	keys/<tenant>.nk                  an account's identity
//	keys/<tenant>.<role>.nk           the signing key of a service or role
//	accounts/<tenant>.jwt             limits, scopes and revocations, signed by the operator
//	users/<tenant>/<name>.jwt         what was given to whom (no secret)
//	creds/<tenant>/<name>.creds       what a process connects with (a secret)
//	creds/sys.creds                   the system user: pushes accounts
//	nats-auth.conf                    to include in nats-server.conf
//	tls/                              a CA and certificates, when asked for
//
// # What it promises
//
// Secrets are written with mode 0600 in folders of 0700, each file as a whole or not
// at all, and a key that others may read is refused by name. Permissions are never
// written by hand: a scope that differs from its descriptor is found by
// [Folder.Check] and put right by [Folder.Update], without new credentials, because
// the scope is the account's and not the user's. After [Folder.Rotate] and a push,
// connections of the old user end and cannot come back.
//
// # What it is not for
//
// It does not say which customer a request is for: that is the actor of a call (bus/rpc),
// which services check. It is no certificate authority for the internet: tls/ is for
// a team without one of its own.
package auth
