package main

import (
	"context"
	"errors"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4/pgxpool"
)

func placeOrder(ctx context.Context, pool *pgxpool.Pool, userID int64, items []Item, key string) (id, amount int64, err error) {
	for tries := 1; ; tries++ {
		err = pool.QueryRow(ctx,
			"SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)",
			userID, items, key).Scan(&id, &amount) // pgx makes jsonb of the slice
		if err == nil || ctx.Err() != nil {
			return
		}
		said := &pgconn.PgError{}
		errors.As(err, &said) // otherwise the connection was lost
		if err = answer(err, said.Code, said.Detail, tries); err != nil {
			return 0, 0, err
		}
	}
}

// What it is run with: pgx USER PRODUCT. test/clients/drivers.pl compares what it prints.
func main() {
	ctx := context.Background()
	pool, err := pgxpool.Connect(ctx, "") // PGHOST and so on
	if err != nil {
		panic(err)
	}
	try(func(user int64, items []Item, key string) (int64, int64, error) {
		return placeOrder(ctx, pool, user, items, key)
	}, func() (pid int) {
		if err := pool.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			panic(err)
		}
		return
	})
}
