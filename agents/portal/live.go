package portal

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"tuma/accounts"
	"tuma/agents"
)

// How often it is looked, and how many times before the browser asks anew: an
// answer must not outlive the server's bound on answers, nor a proxy's.
const (
	liveEvery = time.Second
	liveLooks = 12
)

// live tells a page that waits when what it waits for has happened: an event
// named done. The browser asks again by itself when the answer ends without.
func (c *call) live() error {
	token := c.r.PathValue("token")
	if !isToken(token) {
		return c.notFound()
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	flush := http.NewResponseController(c.w)
	if _, err := fmt.Fprint(c.w, "retry: 3000\n\n"); err != nil {
		return nil
	}
	for range liveLooks {
		if err := flush.Flush(); err != nil {
			return nil // nobody listens
		}
		happened, err := c.happened("portal:" + token)
		if err != nil {
			c.Log.Warn("portal: live", "error", err)
			return nil
		}
		if happened {
			fmt.Fprint(c.w, "event: done\ndata: "+token+"\n\n")
			return nil
		}
		select {
		case <-time.After(liveEvery):
		case <-c.r.Context().Done():
			return nil
		}
	}
	return nil
}

// happened tells whether an entry stands, or what was asked for is decided.
func (c *call) happened(ref string) (bool, error) {
	_, err := c.Agents.EntryByRef(c.r.Context(), c.operator, ref)
	if !errors.Is(err, agents.ErrNoEntry) {
		return err == nil, err
	}
	a, err := c.Agents.AskedByRef(c.r.Context(), c.operator, ref)
	if errors.Is(err, accounts.ErrNoApproval) {
		_, err := c.Agents.FloatByRef(c.r.Context(), c.operator, ref)
		if errors.Is(err, agents.ErrNoFloatRequest) {
			return false, nil
		}
		return err == nil, err
	}
	return err == nil && a.State != accounts.ApprovalPending, err
}
