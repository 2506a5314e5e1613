package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"tuma/simulator"
)

// notices lets the town of tuma dev see money move: by the two SMS that have the
// same receipt, and by the phone whose screen has it, which is the payer's.
type notices struct {
	network *simulator.Network // set before the first message

	mu    sync.Mutex
	first map[string]simulator.SMS // by receipt
	order []string
	paid  int
}

// rememberedReceipts is how many receipts wait for a second SMS, which few of
// them get.
const rememberedReceipts = 200

// afterNotice is how long the payer's own screen may take after the SMS.
const afterNotice = 500 * time.Millisecond

var (
	noticeReceipt = regexp.MustCompile(`^[A-Z]{2}[A-Z0-9]{8} `)
	noticeAmount  = regexp.MustCompile(`[A-Za-z]+[0-9][0-9,]*\.[0-9]{2}`)
)

// received looks at a message; it must not wait.
func (n *notices) received(m simulator.SMS) {
	code := strings.TrimSpace(noticeReceipt.FindString(m.Body))
	if code == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	one, known := n.first[code]
	if !known {
		n.first[code] = m
		if n.order = append(n.order, code); len(n.order) > rememberedReceipts {
			delete(n.first, n.order[0])
			n.order = n.order[1:]
		}
		n.paid++
		n.network.Town().Tell(simulator.Figure{Name: "payments", Value: fmt.Sprint(n.paid)})
		return
	}
	if one.To == m.To {
		return
	}
	amount := noticeAmount.FindString(m.Body)
	time.AfterFunc(afterNotice, func() {
		from, to := one.To, m.To
		if phone, err := n.network.Phone(m.To); err == nil && strings.HasPrefix(phone.State().Screen, code) {
			from, to = m.To, one.To
		}
		n.network.Town().Moved(simulator.Move{From: from, To: to, Amount: amount, Outcome: "paid"})
	})
}
