package ussd

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(8)
		var leave []func()
		for i := range 6 {
			l, ok := r.enter(t.Context(), true)
			if !ok {
				t.Fatalf("dial %d found no room", i+1)
			}
			leave = append(leave, l)
		}
		if _, ok := r.enter(t.Context(), true); ok {
			t.Error("a dial took a place that is kept for sessions under way")
		}
		for i := range 2 {
			l, ok := r.enter(t.Context(), false)
			if !ok {
				t.Fatalf("session %d under way found no room", i+1)
			}
			leave = append(leave, l)
		}
		// Full: a session under way waits for its turn, but not for ever.
		began := time.Now()
		if _, ok := r.enter(t.Context(), false); ok || time.Since(began) != longestWait {
			t.Errorf("in a full room: %v after %v", ok, time.Since(began))
		}
		go func() {
			time.Sleep(longestWait / 2)
			leave[0]()
		}()
		if _, ok := r.enter(t.Context(), false); !ok {
			t.Error("a place was given back, and nobody got it")
		}
		// Many may wait; the next is told at once.
		const most = 8 * waitersEach
		turns := make(chan bool, most)
		for range most {
			go func() {
				_, ok := r.enter(t.Context(), false)
				turns <- ok
			}()
		}
		synctest.Wait()
		began = time.Now()
		if _, ok := r.enter(t.Context(), false); ok || time.Since(began) != 0 {
			t.Errorf("behind a full queue: %v after %v", ok, time.Since(began))
		}
		for range most {
			<-turns
		}
	})
}
