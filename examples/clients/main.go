// What the examples in Go are run with: go build -o pgx main.go
// again.go pgx.go. It prints what came of each step, and test/clients/drivers.pl compares.

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

func try(placeOrder func(int64, []Item, string) (int64, int64, error), backend func() int) {
	user, _ := strconv.ParseInt(os.Args[1], 10, 64)
	product, _ := strconv.ParseInt(os.Args[2], 10, 64)
	key := fmt.Sprintf("%d-%d", user, os.Getpid())
	order := func(quantity int, step string) (int64, int64, error) {
		return placeOrder(user, []Item{{product, quantity}}, key+step)
	}
	placed := func(id, amount int64, err error) (int64, int64) {
		if err != nil {
			panic(err)
		}
		return id, amount
	}

	id, amount := placed(order(1, "-1"))
	fmt.Printf("order %d of %d\n", id, amount)
	id, _ = placed(order(1, "-1"))
	fmt.Printf("order %d again\n", id)

	before := backend()
	var no *Refusal
	if _, _, err := order(1000, "-2"); errors.As(err, &no) {
		fmt.Printf("%s: product %v, asked %v, available %v\n", no.Code,
			no.Details["product_id"], no.Details["asked"], no.Details["available"])
	}
	kept := "closed"
	if backend() == before {
		kept = "kept"
	}
	fmt.Println("connection " + kept)

	id, amount = placed(order(2, "-3"))
	fmt.Printf("order %d of %d\n", id, amount)
}
