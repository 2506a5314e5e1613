package ledger

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestReceiptCodes(t *testing.T) {
	t.Parallel()
	c, err := newCodes([]byte("a key of sixteen bytes"), nairobi)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(1136073600, 4102444800).Draw(t, "at"), 0)
		id := EntryID(monthOf(at, nairobi)<<monthBits | rapid.Int64Range(1, 1<<codeBits-1).Draw(t, "number"))
		code := c.code(id, at)
		if len(code) != codeLength {
			t.Fatalf("%q", code)
		}
		if got, err := c.entry(code, at.AddDate(0, 0, 400)); err != nil || got != id {
			t.Fatalf("entry %d has code %s, which is entry %d (%v)", id, code, got, err)
		}
	})
	seen := map[string]bool{}
	for id := range EntryID(20_000) {
		seen[c.code(id, time.Unix(1_800_000_000, 0))] = true
	}
	if len(seen) != 20_000 {
		t.Errorf("%d codes for 20,000 entries", len(seen))
	}
	for _, bad := range []string{"", "UKM", "UKM4Q7X2P1", "UKM4Q7X2PAA", "UKM4Q7 2PA", "1KM4Q7X2PA", "UMM4Q7X2PA", "UK04Q7X2PA"} {
		if _, err := c.entry(bad, time.Now()); err == nil {
			t.Errorf("%q is taken for a code", bad)
		}
	}
	if got := c.code(1, time.Date(2026, 11, 22, 12, 0, 0, 0, nairobi)); got[:3] != "UKM" {
		t.Errorf("22 November 2026 gives %s", got)
	}
}
