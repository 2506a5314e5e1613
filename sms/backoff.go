package sms

import (
	"encoding/binary"
	"io"
	"time"
)

// backoff says how long to wait before the next try: first, doubled for each
// attempt after the first, at most longest; of that a random part between half
// and all, so that what failed together does not come back together. Without
// randomness it waits the whole.
func backoff(first, longest time.Duration, attempt int, random io.Reader) time.Duration {
	wait := first
	for i := 1; i < attempt && wait < longest; i++ {
		wait *= 2
	}
	wait = min(wait, longest)
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return wait
	}
	half := wait / 2
	return half + time.Duration(binary.BigEndian.Uint64(b[:])%uint64(wait-half+1))
}
