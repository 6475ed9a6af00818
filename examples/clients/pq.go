package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"regexp"
	"time"

	"github.com/lib/pq"
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

func placeOrder(db *sql.DB, userID int64, items []Item, key string) (id, amount int64, err error) {
	text, err := json.Marshal(items)
	if err != nil {
		return
	}
	for tries := 1; ; tries++ {
		err = db.QueryRow(
			"SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)",
			userID, string(text), key).Scan(&id, &amount) // []byte would be sent as bytea
		var said *pq.Error
		if err == nil {
			return
		} else if errors.As(err, &said) { // otherwise the connection was lost
			refusal := &Refusal{Code: string(said.Code)}
			if refusal.Code != "SH429" && json.Unmarshal([]byte(said.Detail), &refusal.Details) == nil {
				return 0, 0, refusal
			} else if !passing.MatchString(refusal.Code) {
				return
			}
		}
		if tries == 5 {
			return
		}
		time.Sleep(50 * time.Millisecond)
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
