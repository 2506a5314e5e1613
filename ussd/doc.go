// Package ussd is the way in for a phone's keypad: the menu (one page,
// menu.go), the machine that walks it (machine.go, walk.go), the sessions it
// keeps in Redis (session.go, latest.go) and one file for each gateway's dialect
// (africastalking.go, hubtel.go, ...) on one edge (edge.go).
//
// It knows the verbs of accounts and agents and the words of three languages.
// It refuses to know the book behind those verbs: what may be sent, what it
// costs and whether it happened already is decided there. And its actions
// refuse to know PINs: the machine checks a PIN because a screen asks for one,
// and what remains of it afterwards is a sealed one or nothing.
//
// What protects money when things go wrong: a session makes one payment at
// most, and its Ref is made of the gateway and the session, so the same key
// presses always mean the same payment, however often a network repeats them
// and whatever Redis has forgotten. All that is in Redis may be lost at any
// moment; it costs the customer a screen.
package ussd
