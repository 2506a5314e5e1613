package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// keepAlive is how often a silent event stream says that it is there.
const keepAlive = 15 * time.Second

// maxWatched is how many phones one event stream may follow.
const maxWatched = 100

// watcher is one event stream. A browser opens at most six connections to one host, so the page follows all its
// phones in one stream; /phones/{msisdn}/events follows one.
type watcher struct {
	numbers map[string]bool
	events  chan event
}

// event is one line pair of the stream: "state" (State), "sms" (SMS) or "cleared" (the inbox was emptied).
type event struct {
	name   string
	msisdn string
	data   any
}

// tell hands an event to whoever follows the phone. A watcher too slow to take it is cut off: its browser connects
// again and starts from the whole state. Entered with mu held.
func (n *Network) tell(number, name string, data any) {
	for w := range n.watchers {
		if !w.numbers[number] {
			continue
		}
		select {
		case w.events <- event{name, number, data}:
		default:
			delete(n.watchers, w)
			close(w.events)
		}
	}
}

func (n *Network) watch(numbers map[string]bool) (*watcher, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.watchers) >= maxWatchers {
		return nil, false
	}
	w := &watcher{numbers: numbers, events: make(chan event, 64)}
	n.watchers[w] = struct{}{}
	return w, true
}

func (n *Network) unwatch(w *watcher) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.watchers, w)
}

// serveEvents streams what happens on one phone (in the path) or several (?phone=...&phone=...) as server-sent events.
// Each phone's whole state comes first.
func (n *Network) serveEvents(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()["phone"]
	if one := r.PathValue("msisdn"); one != "" {
		asked = []string{one}
	}
	if len(asked) == 0 || len(asked) > maxWatched {
		fail(w, http.StatusBadRequest, fmt.Sprintf("name 1 to %d phones", maxWatched))
		return
	}
	numbers := map[string]bool{}
	for _, s := range asked {
		number, err := msisdn(s)
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		numbers[number] = true
	}
	watcher, ok := n.watch(numbers)
	if !ok {
		fail(w, http.StatusTooManyRequests, "too many event streams are open")
		return
	}
	defer n.unwatch(watcher)

	stream := openStreamOf(w)
	for number := range numbers {
		if phone, err := n.Phone(number); err == nil {
			write(w, event{"state", number, phone.State()})
		}
	}
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		if err := stream.Flush(); err != nil {
			return
		}
		select {
		case e, ok := <-watcher.events:
			if !ok {
				return
			}
			write(w, e)
		case <-alive.C:
			fmt.Fprint(w, ": still here\n\n")
		case <-r.Context().Done():
			return
		case <-n.closed:
			return
		}
	}
}

// openStreamOf begins a stream of server-sent events.
func openStreamOf(w http.ResponseWriter) *http.ResponseController {
	stream := http.NewResponseController(w)
	_ = stream.SetWriteDeadline(time.Time{}) // the server's write timeout is for ordinary answers
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	fmt.Fprint(w, "retry: 1000\n\n")
	return stream
}

// write sends one event; the data line carries the phone's number and what happened.
func write(w http.ResponseWriter, e event) {
	data, err := json.Marshal(map[string]any{"msisdn": e.msisdn, e.name: e.data})
	if err == nil {
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.name, data)
	}
}
