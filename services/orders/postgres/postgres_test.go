package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
	"github.com/ordermesh/ordermesh/services/orders/postgres"
	"github.com/ordermesh/ordermesh/services/orders/view"
	"github.com/ordermesh/ordermesh/services/orders/view/viewtest"
)

func TestMain(m *testing.M) { bustest.Main(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) (*postgres.Store, *pgxpool.Pool) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), postgrestest.Database(t))
	check(t, err)
	t.Cleanup(pool.Close)
	s, err := postgres.New(pool)
	check(t, err)
	check(t, s.Migrate(t.Context()))
	return s, pool
}

func TestStore(t *testing.T) {
	t.Parallel()
	viewtest.Run(t, func(t *testing.T) view.Store {
		s, _ := open(t)
		return s
	})
}
