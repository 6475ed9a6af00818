package main

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4/pgxpool"
)

// Refusal: commerce says no. Code is the SQLSTATE of docs/errors.md.
type Refusal struct {
	Code    string
	Details map[string]any
}

func (refusal *Refusal) Error() string { return refusal.Code }

type Item struct {
	ProductID int64 `json:"product_id"`
	Quantity  int   `json:"quantity"`
}

var passing = regexp.MustCompile(`^(40001|40P01|SH429|57P0[1-3]|08...)$`)

func placeOrder(ctx context.Context, pool *pgxpool.Pool, userID int64, items []Item, key string) (id, amount int64, err error) {
	for tries := 1; ; tries++ {
		err = pool.QueryRow(ctx,
			"SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)",
			userID, items, key).Scan(&id, &amount) // pgx makes jsonb of the slice
		var said *pgconn.PgError
		if err == nil || ctx.Err() != nil {
			return
		} else if errors.As(err, &said) { // otherwise the connection was lost
			refusal := &Refusal{Code: said.Code}
			if said.Code != "SH429" && json.Unmarshal([]byte(said.Detail), &refusal.Details) == nil {
				return 0, 0, refusal
			} else if !passing.MatchString(said.Code) {
				return
			}
		}
		if tries == 5 {
			return
		}
		time.Sleep(50 * time.Millisecond)
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
