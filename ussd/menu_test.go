package ussd

import (
	"testing"
)

func TestMenuIsWhole(t *testing.T) {
	words, err := Words()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range Tree().Check(words) {
		t.Error(problem)
	}
}
