package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// How often a stream of the town's news looks for some, and how long it waits for a browser to take them.
const (
	newsEvery    = 100 * time.Millisecond
	newsPatience = 30 * time.Second
)

// member is somebody whom the town shows.
type member struct {
	MSISDN string `json:"msisdn"`
	Name   string `json:"name"`
	Role   string `json:"role,omitempty"`
	Till   string `json:"till,omitempty"`
	Note   string `json:"note,omitempty"`
}

// townNews is one event of the stream: what has changed since the one before.
type townNews struct {
	Cast    []member    `json:"cast,omitempty"` // everybody who is shown, in place; absent: as before
	Others  int         `json:"others"`         // how many are not shown
	Tiles   []glance    `json:"tiles,omitempty"`
	Moves   []Move      `json:"moves,omitempty"`
	Figures []Figure    `json:"figures,omitempty"`
	Faults  *brokenNews `json:"faults,omitempty"`
}

// audience is one stream: what its browser knows. It reads what is true now, so that a slow one misses what lay
// between, and costs no more than a fast one.
type audience struct {
	seen int64
	told map[*tile]int64 // each tile's state, by seq
	from int             // the tile whose turn it is
}

// news is what has changed since a is up to date, if anything has.
func (t *Town) news(a *audience) (n townNews, any bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.choose()
	n.Others = len(t.order) - len(t.shown)
	if t.cast > a.seen || a.seen == 0 {
		any, a.told = true, map[*tile]int64{}
		for _, x := range t.shown {
			p := x.person
			n.Cast = append(n.Cast, member{p.MSISDN, p.Name, p.Role, p.Till, p.Note})
		}
	}
	for i := range t.shown {
		if len(n.Tiles) == maxNews {
			a.from += i
			break
		}
		if x := t.shown[(a.from+i)%len(t.shown)]; a.told[x] < x.changed {
			a.told[x] = x.changed
			n.Tiles = append(n.Tiles, x.glance)
		}
	}
	for _, m := range t.moves {
		if m.seq > a.seen && a.seen > 0 {
			n.Moves = append(n.Moves, m.it)
		}
	}
	if t.figures.seq > a.seen {
		n.Figures = t.figures.it
	}
	if t.broken.seq > a.seen {
		b := t.broken.it
		n.Faults = &b
	}
	any = any || len(n.Tiles)+len(n.Moves)+len(n.Figures) > 0 || n.Faults != nil
	a.seen = max(t.seq, 1)
	return n, any
}

// serveTown is the page of the town.
func (n *Network) serveTown(w http.ResponseWriter, _ *http.Request) {
	faults, token := n.town.panel()
	n.draw(w, "town.html", map[string]any{"ServiceCode": n.config.ServiceCode, "Faults": faults, "Token": token})
}

// serveNews streams what happens in the town, at most ten times a second.
func (n *Network) serveNews(w http.ResponseWriter, r *http.Request) {
	watcher, ok := n.watch(nil)
	if !ok {
		fail(w, http.StatusTooManyRequests, "too many event streams are open")
		return
	}
	defer n.unwatch(watcher)
	stream := openStreamOf(w)
	a := &audience{}
	due := time.NewTicker(newsEvery)
	defer due.Stop()
	for quiet := time.Duration(0); ; quiet += newsEvery {
		news, any := n.town.news(a)
		if any || quiet >= keepAlive {
			quiet = 0
			if any {
				data, err := json.Marshal(news)
				if err != nil { // nothing in it can fail to marshal
					return
				}
				fmt.Fprintf(w, "event: town\ndata: %s\n\n", data)
			} else {
				fmt.Fprint(w, ": still here\n\n")
			}
			if stream.Flush() != nil {
				return
			}
		}
		select {
		case at := <-due.C:
			_ = stream.SetWriteDeadline(at.Add(newsPatience))
		case <-r.Context().Done():
			return
		case <-n.closed:
			return
		}
	}
}

// postFault has a fault done by hand. The page that was drawn knows the token; no other page can read it.
func (n *Network) postFault(w http.ResponseWriter, r *http.Request) {
	faults, token := n.town.panel()
	if !ownOrigin(r) {
		fail(w, http.StatusForbidden, "another site's page may not break anything")
		return
	}
	if len(faults) == 0 {
		fail(w, http.StatusNotFound, "there is nothing to break here")
		return
	}
	if !same(r.Header.Get("X-Town-Token"), token) {
		fail(w, http.StatusForbidden, "this page is from before a restart: load it again")
		return
	}
	var in struct {
		Name string `json:"name"`
	}
	if err := decode(r, &in); err != nil {
		status, tooLarge := http.StatusBadRequest, (*http.MaxBytesError)(nil)
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, err.Error())
		return
	}
	switch known, err := n.town.ask(in.Name); {
	case !known:
		fail(w, http.StatusNotFound, "there is no such fault")
	case err != nil:
		fail(w, http.StatusConflict, err.Error())
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
