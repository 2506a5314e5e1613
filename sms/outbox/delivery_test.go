package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tuma/internal/db/dbtest"
	"tuma/sms/outbox"
)

// Whatever is doubled, late or out of order ends in the same state, and a report
// may come before our own note of the send.
func TestDeliveryGoesForward(t *testing.T) {
	t.Parallel()
	c := newClock()
	pool := dbtest.New(t, c.now)
	const way, bad, good = outbox.OnItsWay, outbox.Failed, outbox.Delivered
	for i, test := range []struct {
		states []outbox.State
		want   outbox.State
	}{
		{nil, 0}, {[]outbox.State{way}, way}, {[]outbox.State{way, good}, good}, {[]outbox.State{good, way, way}, good},
		{[]outbox.State{bad, way}, bad}, {[]outbox.State{bad, bad}, bad}, {[]outbox.State{bad, good}, good}, {[]outbox.State{good, bad, way, good, bad}, good},
	} {
		id, key := fmt.Sprint("SM", i), fmt.Sprint("k", i)
		write(t, pool, outbox.Notice{Key: key, To: asha, Body: "x"})
		early := len(test.states) / 2 // as many come before the note
		due := lease(t, pool, 1, "r")[0]
		for j, s := range test.states {
			if j == early {
				if err := done(t, pool, due, "twilio", id); err != nil {
					t.Fatal(err)
				}
			}
			if err := outbox.Deliver(t.Context(), pool, outbox.Report{Gateway: "twilio", ID: id, State: s, Code: "30003"}); err != nil {
				t.Fatal(err)
			}
		}
		if len(test.states) == 0 {
			if err := done(t, pool, due, "twilio", id); err != nil {
				t.Fatal(err)
			}
		}
		if r := status(t, pool, asha, key); r.Status != "sent" || r.Delivery != test.want {
			t.Errorf("%v: %s, %v; want %v", test.states, r.Status, r.Delivery, test.want)
		}
	}
	for _, bad := range []outbox.Report{{}, {Gateway: "g", State: good}, {ID: "x", State: good}, {Gateway: "g", ID: "x"}, {Gateway: "g", ID: "x", State: 4}, {Gateway: "g", ID: "a\x00", State: good}} {
		if err := outbox.Deliver(t.Context(), pool, bad); !errors.Is(err, outbox.ErrBadReport) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A report on a try whose answer was lost ends the doubt: it is not sent again.
func TestAReportEndsADoubt(t *testing.T) {
	t.Parallel()
	c := newClock()
	pool := dbtest.New(t, c.now)
	write(t, pool, outbox.Notice{Key: "doubt", To: asha, Body: "x"}, outbox.Notice{Key: "none", To: baraka, Body: "x"})
	due := lease(t, pool, 2, "r")
	for i, doubts := range []int{1, 0} {
		if err := retry(t, pool, due[i], c.now().Add(time.Minute), "twilio", "x", doubts); err != nil {
			t.Fatal(err)
		}
		r := outbox.Report{Gateway: "twilio", ID: fmt.Sprint("SM", i), Ref: due[i].Ref(), State: outbox.OnItsWay}
		if err := outbox.Deliver(t.Context(), pool, r); err != nil {
			t.Fatal(err)
		}
	}
	if r := status(t, pool, asha, "doubt"); r.Status != "sent" || r.ProviderID != "SM0" || r.Doubts != 1 {
		t.Errorf("%+v", r)
	}
	if r := status(t, pool, baraka, "none"); r.Status != "queued" {
		t.Errorf("%+v", r)
	}
	// A report that comes before the attempt is found to be in doubt counts, too,
	// and so does one on an attempt whose relay has died; not one on another attempt.
	write(t, pool, outbox.Notice{Key: "early", To: "+254712000003", Body: "x"}, outbox.Notice{Key: "dead", To: "+254712000004", Body: "x"}, outbox.Notice{Key: "other", To: "+254712000005", Body: "x"})
	early := map[string]outbox.Due{}
	for _, d := range lease(t, pool, 3, "r") {
		early[d.Key] = d
		ref := d.Ref()
		if d.Key == "other" {
			ref = ref[:len(ref)-1] + "x"
		}
		if err := outbox.Deliver(t.Context(), pool, outbox.Report{Gateway: "twilio", ID: "SM " + d.Key, Ref: ref, State: outbox.OnItsWay}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"early", "other"} {
		if err := retry(t, pool, early[key], c.now().Add(time.Hour), "twilio", "x", 1); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(time.Minute)
	if due := keys(lease(t, pool, 9, "r")); !slices.Equal(due, []string{"none"}) {
		t.Errorf("due: %q", due)
	}
	for key, want := range map[string]string{"early": "sent", "dead": "sent", "other": "queued"} {
		if r := status(t, pool, early[key].To, key); r.Status != want || want == "sent" && (r.ProviderID != "SM "+key || r.Error != "" || r.Sent.IsZero()) {
			t.Errorf("%s: %+v", key, r)
		}
	}
	for _, ref := range []string{"", "7", "x-1", "-", "999999999999999999999-1"} {
		if err := outbox.Deliver(t.Context(), pool, outbox.Report{Gateway: "twilio", ID: "y", Ref: ref, State: outbox.OnItsWay}); err != nil {
			t.Errorf("ref %q: %v", ref, err)
		}
	}
}

func TestDeadLettersAreSeenAndResent(t *testing.T) {
	t.Parallel()
	c := newClock()
	pool := dbtest.New(t, c.now)
	write(t, pool,
		outbox.Notice{Key: "given up", To: asha, Body: "x"},
		outbox.Notice{Key: "undelivered", To: baraka, Body: "x"},
		outbox.Notice{Key: "arrived", To: "+254712000003", Body: "x"},
		outbox.Notice{Key: "too old", To: "+254712000004", Body: "x", Expires: c.now().Add(time.Minute)})
	for _, d := range lease(t, pool, 4, "r") {
		var err error
		switch d.Key {
		case "given up", "too old":
			err = fail(t, pool, d, "twilio", "sms: twilio: 21211")
		default:
			err = done(t, pool, d, "twilio", "SM "+d.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for key, state := range map[string]outbox.State{"undelivered": outbox.Failed, "arrived": outbox.Delivered} {
		if err := outbox.Deliver(t.Context(), pool, outbox.Report{Gateway: "twilio", ID: "SM " + key, State: state, Code: "30005"}); err != nil {
			t.Fatal(err)
		}
	}
	dead := func(since time.Time) (keys []string) {
		list, err := outbox.DeadSince(t.Context(), pool, since, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			keys = append(keys, d.Key+": "+d.Status+": "+d.Why)
		}
		slices.Sort(keys)
		return keys
	}
	if got, want := dead(c.now()), []string{"given up: failed: sms: twilio: 21211", "too old: failed: sms: twilio: 21211", "undelivered: undelivered: 30005"}; !slices.Equal(got, want) {
		t.Errorf("dead: %q", got)
	}
	if got := dead(c.now().Add(time.Second)); got != nil {
		t.Errorf("of later: %q", got)
	}
	c.advance(time.Hour)
	if n, err := outbox.ResendAll(t.Context(), pool, time.Time{}); n != 1 || err != nil {
		t.Errorf("resent %d, %v; want the one that has not expired", n, err)
	}
	for key, want := range map[string]int64{"undelivered": 1, "arrived": 0, "nothing": 0, "given up": 0} {
		if n, err := outbox.Resend(t.Context(), pool, key); n != want || err != nil {
			t.Errorf("resend %s: %d, %v", key, n, err)
		}
	}
	if got := keys(lease(t, pool, 9, "r")); !slices.Equal(got, []string{"given up", "undelivered"}) {
		t.Errorf("due again: %q", got)
	}
}
