package accounts_test

import (
	"fmt"

	"tuma/accounts"
)

func ExampleRefuse() {
	err := fmt.Errorf("send: %w", accounts.Refuse("insufficient", "balance", "Ksh12.00"))
	fmt.Println(err)
	fmt.Println(accounts.Refused(err, "insufficient"))
	// Output:
	// send: refused: insufficient (balance=Ksh12.00)
	// true
}

func ExampleShortName() {
	fmt.Println(accounts.ShortName("CHRISTOPHER ODHIAMBO OTIENO", 15))
	// Output: CHRISTOPHER O
}
