// Package dialogues reads, plays and rewrites transcripts of people using
// their phones: flush left is what they do, indented is what the service says.
// One file is a test, a page of the manual, a demo and a check of a running
// server.
//
//	asha has 1000.00
//	asha dials *334#
//	    CON Tuma
//	    1 Send money
//	asha types 1
//	    CON Send to (phone number)
//	    0 Back
//
// What people can do:
//
//	cast mary stranger +254733000001        somebody who is not in the default cast
//	cast ali customer +254712000008 ALI HASSAN id 30000008
//	cast eve customer +254712000009 EVE MOSES id 30000009 frozen
//	cast rehema till +254722000003 REHEMA AKINYI id 24000003 at 100001 assistant
//	cast office juma neema                  their tills are of one head office
//	cast 40 customers                       customer1 to customer40; the books count them together
//	asha has 1000.00                        money, by real deposits
//	asha dials *334*1*0712000002#           a new session, a part of the menu with it
//	asha types 500                          in the session that is open
//	asha retries                            the gateway sends the last request again
//	asha drops                              the session breaks off on the phone
//	asha texts BALANCE                      an SMS to the service; the answer is an SMS
//	asha is pushed                          the service has put a screen on her phone; types answers it
//	asha receives                           the SMS that came since this was last said
//	asha waits 3m                           time passes, for everybody
//	juma serves customers 1 to 25 who bring 500.00, every 10m
//	                                        or: who take 500.00. Each of them dialled and behind the PIN;
//	                                        the last answer is shown, and any that is no receipt
//	customers have 1000.00                  each of them
//	the maker takes up float                the service's own staff: what an operator has asked for
//	the checker approves float              what the maker has taken up
//	the checker approves the reversal       or declines it
//	books                                   the balances that matter, the house's too
//
// Lines that start with # and empty lines stay where they are when a file is
// rewritten.
//
// The package knows the transcripts and the two stages they can be played on
// (in process, and over HTTP against a server with a simulator). It refuses to
// know the service: nothing of it is imported.
package dialogues

import (
	"fmt"
	"strings"
)

// Role is what somebody is when a dialogue begins.
type Role string

// The roles.
const (
	Customer Role = "customer" // has a wallet of the full tier, PIN 4826, English, and no money
	Operator Role = "till"     // works at a till, PIN 4826, English
	Stranger Role = "stranger" // has only a phone
)

// PIN is everybody's.
const PIN = "4826"

// Person is somebody with a phone.
type Person struct {
	Handle   string // what the dialogue calls them
	Role     Role
	Number   string // E.164
	FullName string // of customers and operators, as the register has it
	IDNumber string // likewise
	Till     string // of operators: the till's number
	Shop     string // and its name
	Frozen   bool   // of customers: the account is, from the beginning
	Rank     string // of operators: owner, assistant, auditor; "": owner
	Office   string // of operators: the head office of the till; "": none
	Crowd    bool   // of customers: one of many, whom the books count together
}

// National is the person's number as it is said in the country, which for the
// numbers of dialogues is Kenya.
func (p Person) National() string { return "0" + strings.TrimPrefix(p.Number, "+254") }

// DefaultCast are the people who are in every dialogue: those of the demo.
func DefaultCast() []Person {
	return []Person{
		{Handle: "asha", Role: Customer, Number: "+254712000001", FullName: "ASHA JUMA", IDNumber: "23000001"},
		{Handle: "baraka", Role: Customer, Number: "+254712000002", FullName: "BARAKA OTIENO", IDNumber: "23000002"},
		{Handle: "chausiku", Role: Customer, Number: "+254712000003", FullName: "CHAUSIKU MWANGI", IDNumber: "23000003"},
		{Handle: "juma", Role: Operator, Number: "+254722000001", FullName: "JUMA KAMAU", IDNumber: "24000001", Till: "100001", Shop: "MAMA PIMA SHOP"},
		{Handle: "neema", Role: Operator, Number: "+254722000002", FullName: "NEEMA WANJIRU", IDNumber: "24000002", Till: "100002", Shop: "UHURU STORES"},
	}
}

// crowd are customers whose names and numbers do not matter.
func crowd(n int) []Person {
	first := []string{"AMINA", "BRIAN", "CAROL", "DENNIS", "ESTHER", "FATUMA", "GEORGE", "HALIMA", "IRENE", "JOSEPH"}
	last := []string{"ACHIENG", "BARASA", "CHEBET", "DUALE", "EKAI", "FONDO", "GITAU", "HASSAN", "ISMAIL", "JELAGAT"}
	people := make([]Person, n)
	for i := range people {
		people[i] = Person{
			Handle: fmt.Sprintf("customer%d", i+1), Role: Customer, Number: fmt.Sprintf("+2547130%05d", i+1), IDNumber: fmt.Sprintf("250%05d", i+1),
			FullName: first[i%10] + " " + last[i/10%10], Crowd: true,
		}
	}
	return people
}
