package main

import (
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/lib/pq"
)

func placeOrder(db *sql.DB, userID int64, items []Item, key string) (id, amount int64, err error) {
	text, err := json.Marshal(items)
	if err != nil {
		return
	}
	for tries := 1; ; tries++ {
		err = db.QueryRow(
			"SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)",
			userID, string(text), key).Scan(&id, &amount) // []byte would be sent as bytea
		if err == nil {
			return
		}
		said := &pq.Error{}
		errors.As(err, &said) // otherwise the connection was lost
		if err = answer(err, string(said.Code), said.Detail, tries); err != nil {
			return 0, 0, err
		}
	}
}

// What it is run with: pq USER PRODUCT. test/clients/drivers.pl compares what it prints.
func main() {
	db, err := sql.Open("postgres", "sslmode=disable") // PGHOST and so on
	if err != nil {
		panic(err)
	}
	try(func(user int64, items []Item, key string) (int64, int64, error) {
		return placeOrder(db, user, items, key)
	}, func() (pid int) {
		if err := db.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
			panic(err)
		}
		return
	})
}
