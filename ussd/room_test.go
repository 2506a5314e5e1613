package ussd

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(8, time.Now)
		enter := func(dial bool) (leave func(), ok bool, took time.Duration) {
			began := time.Now()
			leave, ok = r.enter(t.Context(), dial)
			return leave, ok, time.Since(began)
		}
		var leave []func()
		for i := range 6 {
			l, ok, _ := enter(true)
			if !ok {
				t.Fatalf("dial %d found no room", i+1)
			}
			leave = append(leave, l)
		}
		// A moment in which nothing moves: who dials waits.
		time.AfterFunc(longestWait/2, leave[0])
		l, ok, took := enter(true)
		if !ok || took != longestWait/2 {
			t.Errorf("a dial when a place was given back after a moment: %v after %v", ok, took)
		}
		leave[0] = l
		for i := range 2 {
			l, ok, _ := enter(false)
			if !ok {
				t.Fatalf("session %d under way found no room: a dial has taken its place", i+1)
			}
			leave = append(leave, l)
		}
		// Full: it waits for its turn, but not for ever.
		if _, ok, took := enter(false); ok || took != longestWait {
			t.Errorf("a session under way in a full room: %v after %v", ok, took)
		}
		// From then on who dials is told at once, and who is in a session still waits.
		if _, ok, took := enter(true); ok || took != 0 {
			t.Errorf("a dial after somebody waited in vain: %v after %v", ok, took)
		}
		time.AfterFunc(longestWait/2, leave[7])
		if l, ok, took = enter(false); !ok || took != longestWait/2 {
			t.Errorf("a session under way when a place was given back: %v after %v", ok, took)
		}
		leave[7] = l
		time.Sleep(calmAfter - longestWait/2 - 1)
		if _, ok, took := enter(true); ok || took != 0 {
			t.Errorf("a dial before it was calm: %v after %v", ok, took)
		}
		// A place that is free is taken, crowded or not.
		leave[5]()
		if leave[5], ok, took = enter(true); !ok || took != 0 {
			t.Errorf("a dial that found a place: %v after %v", ok, took)
		}
		// Nobody was turned away for a while: as in the beginning.
		time.Sleep(calmAfter + 1)
		if _, ok, took := enter(true); ok || took != longestWait {
			t.Errorf("a dial after it was calm: %v after %v", ok, took)
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
		if _, ok, took := enter(false); ok || took != 0 {
			t.Errorf("behind a full queue: %v after %v", ok, took)
		}
		for range most {
			<-turns
		}
	})
}
