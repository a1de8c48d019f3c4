package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/view"
)

// Table says how the rows of a view are kept. Beside its Columns a table has key, text
// and its primary key, and version, bigint.
type Table[R any] struct {
	Schema  string   // of the service, such as "orders"
	Name    string   // such as "orders"; unique among the views of the schema
	Columns []string // that hold a row, beside key and version

	// Fields returns pointers to the row's fields in the order of Columns; they are read
	// and written through them. Use types that pgx knows: a nil pointer or slice is NULL,
	// a struct or slice can be jsonb. Times are cut to microseconds. NUL in a text, which
	// PostgreSQL does not take, is stored as U+FFFD.
	Fields func(*R) []any

	// List finds a list by the name that the view's fold gives it; ok is false for a name
	// that no row can be in.
	List func(name string) (list List, ok bool)

	// Migrations are goose's SQL files, in the root. They name the schema.
	Migrations fs.FS
}

// List is a list of a view as a condition on columns.
type List struct {
	Where string // SQL, with $1 and so on for Args; "" for every row
	Args  []any
	Order Order
}

// Order is an expression over columns by which a list is ordered, then by key. Rows in
// which it is NULL are in no list.
type Order struct {
	expr string
	kind orderKind
}

type orderKind int

const (
	orderText orderKind = iota
	orderNumber
	orderMoment
)

// Text orders by a text, byte by byte.
func Text(expr string) Order { return Order{expr, orderText} }

// Number orders by a bigint, which stands for [view.Ascending] of it.
func Number(expr string) Order { return Order{expr, orderNumber} }

// Moment orders by a timestamptz, which stands for [view.Moment] of it.
func Moment(expr string) Order { return Order{expr, orderMoment} }

// sql is the expression as it is compared and ordered by.
func (o Order) sql() string {
	if o.kind == orderText {
		return "(" + o.expr + `) COLLATE "C"`
	}
	return o.expr
}

// param turns the text of an order into what it is compared with.
func (o Order) param(text string) (any, error) {
	if o.kind == orderText {
		return text, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no place in this list", text)
	}
	if o.kind == orderMoment {
		return time.UnixMicro(n), nil
	}
	return n, nil
}

// target is where an order is scanned into, and text what it says afterwards.
func (o Order) target() (target any, text func() string) {
	switch o.kind {
	case orderNumber:
		var n uint64
		return &n, func() string { return view.Ascending(n) }
	case orderMoment:
		var t time.Time
		return &t, func() string { return view.Moment(t) }
	case orderText:
	}
	var s string
	return &s, func() string { return s }
}

// Folder is the part of fsys in a folder; it panics when there is none, which is a
// mistake in an embed directive.
func Folder(fsys fs.FS, name string) fs.FS {
	sub, err := fs.Sub(fsys, name)
	if err == nil {
		_, err = fs.Stat(sub, ".")
	}
	if err != nil {
		panic("postgres: " + err.Error())
	}
	return sub
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func (t *Table[R]) check() error {
	names := append([]string{t.Schema, t.Name}, t.Columns...)
	for _, name := range names {
		if !identifier.MatchString(name) {
			return fmt.Errorf("postgres: %q is no name: a-z, 0-9 and _, at most 40", name)
		}
	}
	if t.Fields == nil || t.List == nil || t.Migrations == nil {
		return errors.New("postgres: a table needs Fields, List and Migrations")
	}
	var row R
	if n := len(t.Fields(&row)); n != len(t.Columns) {
		return fmt.Errorf("postgres: table %s.%s has %d columns and %d fields", t.Schema, t.Name, len(t.Columns), n)
	}
	return nil
}

// columns are all columns, key and version first.
func (t *Table[R]) columns() []string { return append([]string{"key", "version"}, t.Columns...) }
