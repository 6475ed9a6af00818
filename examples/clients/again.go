package main

import (
	"encoding/json"
	"regexp"
	"time"
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

var passing = regexp.MustCompile(`^(|40001|40P01|SH429|57P0[1-3]|08...)$`)

// answer says what an error means: a refusal of the shop, or, when it cannot pass by itself, what it is. After what met
// others, and after a lost connection (it has no code), it is nil: do the work again.
func answer(err error, code, detail string, tries int) error {
	refusal := &Refusal{Code: code}
	if code != "SH429" && json.Unmarshal([]byte(detail), &refusal.Details) == nil {
		return refusal
	}
	if tries == 5 || !passing.MatchString(code) {
		return err
	}
	time.Sleep(50 * time.Millisecond)
	return nil
}
