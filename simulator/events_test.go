package simulator

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// stream reads events as a browser does.
type stream struct {
	lines *bufio.Scanner
	body  io.Closer
}

func openStream(t *testing.T, w *world, path string) *stream {
	t.Helper()
	resp, err := http.Get(w.server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return &stream{bufio.NewScanner(resp.Body), resp.Body}
}

// next returns the next event's name and data; "" at the end of the stream.
func (s *stream) next(t *testing.T) (name string, data struct {
	MSISDN string
	State  State
	SMS    SMS
}) {
	t.Helper()
	for s.lines.Scan() {
		if v, ok := strings.CutPrefix(s.lines.Text(), "event: "); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(s.lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(v), &data); err != nil {
				t.Fatal(err)
			}
			return name, data
		}
	}
	return "", data
}

func TestEventsOfOnePhone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := openStream(t, w, "/simulator/phones/"+asha+"/events")
	if name, data := s.next(t); name != "state" || data.MSISDN != asha || data.State.Open {
		t.Fatalf("first: %s %+v", name, data)
	}
	w.do(t, "POST", "/simulator/phones/254712000002/dial", `{"code":"*334#"}`) // somebody else's
	w.do(t, "POST", "/simulator/phones/254712000001/dial", `{"code":"*334#"}`)
	if name, data := s.next(t); name != "state" || !data.State.Waiting || data.MSISDN != asha {
		t.Errorf("second: %s %+v", name, data)
	}
	if name, data := s.next(t); name != "state" || !strings.HasPrefix(data.State.Screen, "Karibu") || data.State.Waiting {
		t.Errorf("third: %s %+v", name, data)
	}
	w.app.tell(asha, "hello")
	if name, data := s.next(t); name != "sms" || data.SMS.Body != "hello" || data.MSISDN != asha {
		t.Errorf("fourth: %s %+v", name, data)
	}
	w.do(t, "DELETE", "/simulator/phones/254712000001/sms", "")
	if name, _ := s.next(t); name != "cleared" {
		t.Errorf("fifth: %s", name)
	}
	w.network.Close()
	if name, _ := s.next(t); name != "" {
		t.Errorf("after Close: %s", name)
	}
}

func TestEventsOfSeveralPhones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := openStream(t, w, "/simulator/events?phone=%2B254712000001&phone=254712000002")
	s.next(t)
	s.next(t)
	w.app.tell(asha, "one")
	w.app.tell("+254712000003", "not followed")
	w.app.tell(baraka, "two")
	for _, want := range []string{"one", "two"} {
		if _, data := s.next(t); data.SMS.Body != want {
			t.Errorf("got %q, want %q", data.SMS.Body, want)
		}
	}
	s.body.Close()
	eventually(t, "the stream is forgotten", func() bool {
		w.network.mu.Lock()
		defer w.network.mu.Unlock()
		return len(w.network.watchers) == 0
	})
}

func TestSlowWatcherIsCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow, ok := w.network.watch(map[string]bool{asha: true})
	if !ok {
		t.Fatal("refused")
	}
	for range cap(slow.events) + 2 {
		if err := w.network.Deliver(SMS{ID: "x", To: asha, Body: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for range slow.events { // ends because it was closed
		n++
	}
	if n != cap(slow.events) || len(w.network.watchers) != 0 {
		t.Errorf("%d events, %d watchers", n, len(w.network.watchers))
	}
	for range maxWatchers {
		w.network.watch(nil)
	}
	if status, _, _ := w.do(t, "GET", "/simulator/events?phone="+asha[1:], ""); status != http.StatusTooManyRequests {
		t.Errorf("one stream too many: %d", status)
	}
}
