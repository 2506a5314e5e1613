package ussd

import "time"

// Outcome of one request, for whoever measures.
const (
	Continued  = "continued"   // CON
	Ended      = "ended"       // END, as the menu has it
	Paid       = "paid"        // END, and money moved
	TurnedAway = "turned_away" // END with a refusal
	Repeated   = "repeated"    // answered before; the stored reply went out again
	Stray      = "stray"       // out of order, too late, or somebody else's session
	Slowed     = "slowed"      // the phone dials too often
	Shed       = "shed"        // there was no room
	Failed     = "failed"      // our fault
)

// Seen is what became of one request. It names no phone and no session.
type Seen struct {
	Gateway string
	Outcome string
	Refusal string // the key of the refusal that was shown, with CON or END; "": none
	Took    time.Duration
}

// outcome sums a step up.
func (t trace) outcome(reply Reply) string {
	switch {
	case t.err != nil || t.note == "panic":
		return Failed
	case t.note == "repeated":
		return Repeated
	case t.note == "too many dials":
		return Slowed
	case t.note == "no room":
		return Shed
	case t.note != "" && t.note != "too many steps":
		return Stray
	case t.receipt != "":
		return Paid
	case reply.End && t.refusal != "":
		return TurnedAway
	case reply.End:
		return Ended
	}
	return Continued
}
