package auth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// system is the account of the servers themselves; no tenant can be called like it.
const system = "system"

// ErrExists is returned where something would be made a second time.
var ErrExists = errors.New("exists already")

// Folder is the identities of one mesh on disk. Its methods may be called by several
// processes at once: those that write take turns.
type Folder struct{ dir string }

// Init makes a folder with an operator, the system account and its user. A folder
// that has an operator already is left alone: the error is [ErrExists].
func Init(dir string) (*Folder, error) {
	f := &Folder{dir: dir}
	if exists(f.path("operator.jwt")) {
		return nil, fmt.Errorf("%s has an operator and %w: use 'mesh auth add', or another folder", dir, ErrExists)
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, fmt.Errorf("cannot make %s (%w): choose a folder that you may write to", dir, cause(err))
	}
	return f, f.locked(f.init)
}

func (f *Folder) init() error {
	operator, err := newKey(f.keyFile("operator"), nkeys.CreateOperator)
	if err != nil {
		return err
	}
	account, err := newKey(f.keyFile(system), nkeys.CreateAccount)
	if err != nil {
		return err
	}
	if err := f.initSystem(operator, account); err != nil {
		return err
	}
	key, err := publicKey(operator)
	if err != nil {
		return err
	}
	claims := jwt.NewOperatorClaims(key)
	claims.Name = "ordermesh"
	if claims.SystemAccount, err = publicKey(account); err != nil {
		return err
	}
	text, err := claims.Encode(operator)
	if err != nil {
		return fmt.Errorf("sign the operator: %w", err)
	}
	// Last: its presence says that the folder is complete.
	return write(f.path("operator.jwt"), publicMode, []byte(text+"\n"))
}

// initSystem makes the account whose user may push accounts.
func (f *Folder) initSystem(operator, account nkeys.KeyPair) error {
	key, err := publicKey(account)
	if err != nil {
		return err
	}
	claims := jwt.NewAccountClaims(key)
	claims.Name = system
	if err := f.saveAccount(operator, claims); err != nil {
		return err
	}
	return f.issue(account, issuing{name: "sys", file: f.userFile(system, "sys"), creds: f.SystemCreds()})
}

// Open opens a folder that Init made.
func Open(dir string) (*Folder, error) {
	f := &Folder{dir: dir}
	if !exists(f.path("operator.jwt")) {
		return nil, fmt.Errorf("there is no operator in %s: make one with 'mesh auth init --dir %s'", dir, dir)
	}
	return f, nil
}

// Dir is where the folder is.
func (f *Folder) Dir() string { return f.dir }

func (f *Folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}

func (f *Folder) keyFile(parts ...string) string {
	return f.path("keys", strings.Join(parts, ".")+".nk")
}
func (f *Folder) accountFile(tenant string) string    { return f.path("accounts", tenant+".jwt") }
func (f *Folder) userFile(tenant, user string) string { return f.path("users", tenant, user+".jwt") }

// CredsDir is the folder of a tenant's credentials, one file for each user.
func (f *Folder) CredsDir(tenant string) string { return f.path("creds", tenant) }

// Creds is the file that a user of the tenant connects with.
func (f *Folder) Creds(tenant, user string) string { return f.path("creds", tenant, user+".creds") }

// SystemCreds is the file of the system user, which pushes accounts.
func (f *Folder) SystemCreds() string { return f.path("creds", "sys.creds") }

// Operator is the operator's JWT and those of all accounts, as a server needs them.
func (f *Folder) Operator() (operator string, accounts []string, err error) {
	text, err := read(f.path("operator.jwt"))
	if err != nil {
		return "", nil, err
	}
	tenants, err := f.tenantNames()
	if err != nil {
		return "", nil, err
	}
	for _, name := range append([]string{system}, tenants...) {
		account, err := read(f.accountFile(name))
		if err != nil {
			return "", nil, err
		}
		accounts = append(accounts, strings.TrimSpace(string(account)))
	}
	return strings.TrimSpace(string(text)), accounts, nil
}

func (f *Folder) tenantNames() ([]string, error) {
	entries, err := os.ReadDir(f.path("accounts"))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", f.path("accounts"), cause(err))
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".jwt"); ok && name != system && contract.ValidID(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// saveAccount signs an account's claims and writes them.
func (f *Folder) saveAccount(operator nkeys.KeyPair, claims *jwt.AccountClaims) error {
	results := jwt.CreateValidationResults()
	claims.Validate(results)
	if results.IsBlocking(false) {
		return fmt.Errorf("the account %s cannot be signed: %w", claims.Name, errors.Join(results.Errors()...))
	}
	text, err := claims.Encode(operator)
	if err != nil {
		return fmt.Errorf("sign the account %s: %w", claims.Name, err)
	}
	return write(f.accountFile(claims.Name), publicMode, []byte(text+"\n"))
}

func (f *Folder) account(tenant string) (*jwt.AccountClaims, error) {
	if !contract.ValidID(tenant) || tenant == system || !exists(f.accountFile(tenant)) {
		names, err := f.tenantNames()
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("there is no tenant %q in %s: there are %s, or add it with 'mesh auth add tenant'", tenant, f.dir, strings.Join(names, ", "))
	}
	text, err := read(f.accountFile(tenant))
	if err != nil {
		return nil, err
	}
	claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s holds no account (%w): put back a copy of it", f.accountFile(tenant), err)
	}
	return claims, nil
}

// locked runs change while no other process changes the folder.
func (f *Folder) locked(change func() error) error {
	lock, err := os.OpenFile(f.path(".lock"), os.O_RDWR|os.O_CREATE, secretMode)
	if err != nil {
		return fmt.Errorf("cannot lock %s: %w", f.dir, cause(err))
	}
	defer func() { _ = lock.Close() }() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("cannot lock %s: %w", f.dir, err)
	}
	if err := change(); err != nil {
		return err
	}
	return f.writeConf()
}
