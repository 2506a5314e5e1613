// Package sms sends the notices that the outbox holds: gateways, one file
// each, and the relay that hands them what is due.
//
// It knows no customer, no money and no wording. Bodies are never logged.
package sms

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"tuma/internal/phone"
)

// Message is one SMS for a gateway.
type Message struct {
	Key   string        // ours, for logs; gateways have no use for it
	Ref   string        // of this try and no other; letters, digits and "-"
	To    phone.Number  //
	From  string        // sender id, short code or number; "": as the gateway is set up
	Body  string        // at most 1,600 characters
	Valid time.Duration // worthless after that; 0: no limit
}

// Sent says that a gateway has taken a message. Whether the phone got it is
// another matter.
type Sent struct {
	ID string // the gateway's own, "" if it gives none
}

// Gateway hands messages to a network.
type Gateway interface {
	// Name is short and constant: it is stored with what was sent.
	Name() string
	// Send returns when the gateway has taken the message, and otherwise an
	// error that is a *SendError. It may be called from many goroutines.
	Send(ctx context.Context, m Message) (Sent, error)
}

// SendError is why a gateway did not take a message, and what follows from
// that. Its text is fit for logs: no body, no secret, no number.
type SendError struct {
	Gateway  string
	Code     int           // the gateway's own code, or the HTTP status, or 0
	Retry    bool          // another try may succeed
	Unknown  bool          // the message may have been taken all the same
	OptedOut bool          // the recipient wants nothing from this gateway any more; another may still send
	Wait     time.Duration // the gateway asks not to be tried sooner; 0: it did not say
	Err      error         // may be nil
}

func (e *SendError) Error() string {
	s := "sms: " + e.Gateway
	if e.Code != 0 {
		s += ": " + strconv.Itoa(e.Code)
	}
	if e.Unknown {
		s += ": outcome unknown"
	}
	if e.Err != nil {
		s += fmt.Sprintf(": %v", e.Err)
	}
	return s
}

func (e *SendError) Unwrap() error { return e.Err }
