// Package contract tests what the clients of the service rely on.
package contract

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
)

func TestAnOrderHasItsNumber(t *testing.T) {
	response, err := http.Get(os.Getenv("BASE_URL") + "/orders/7")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var order struct{ ID int }
	if err := json.NewDecoder(response.Body).Decode(&order); err != nil || order.ID != 7 {
		t.Errorf("order %+v, %v; want number 7", order, err)
	}
	if commit := os.Getenv("EXPECTED_COMMIT"); commit != "" && response.Header.Get("X-Commit") != commit {
		t.Errorf("commit %q answers, want %q", response.Header.Get("X-Commit"), commit)
	}
}
