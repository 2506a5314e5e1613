package ledger

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"sort"
	"time"
)

// memoText is a memo as it is stored and hashed: JSON with its keys in order.
func memoText(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	b, err := json.Marshal(m) // sorts the keys of a map
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return string(b)
}

func memoOf(text string) map[string]string {
	m := map[string]string{}
	if json.Unmarshal([]byte(text), &m) != nil {
		return nil // somebody changed the row: the audit names it
	}
	return m
}

// entryDigest is the SHA-256 of everything that an entry says.
func entryDigest(id EntryID, at time.Time, kind, ref string, reverses EntryID, memo string, postings []Posted) []byte {
	h := sha256.New()
	field(h, id, at.UTC().UnixMicro(), kind, ref, reverses, memo, len(postings))
	for _, p := range postings {
		field(h, p.Why, p.Debit, p.Credit, p.Amount, p.DebitAfter, p.CreditAfter)
	}
	return h.Sum(nil)
}

// field writes values with their lengths before them, so that no two lists of
// values give the same bytes.
func field(h hash.Hash, values ...any) {
	for _, v := range values {
		s := fmt.Sprint(v)
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
}

// genesis is what the first block of a chain follows.
func genesis(chain int64) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "tuma chain %d", chain))
	return h[:]
}

// blockDigest seals one commit's entries to all before them in the chain.
func blockDigest(before []byte, chain, n int64, digests [][]byte) []byte {
	h := sha256.New()
	h.Write(before)
	field(h, chain, n, len(digests))
	for _, d := range digests {
		h.Write(d)
	}
	return h.Sum(nil)
}

func sortedIDs(set map[AccountID]bool) []int64 {
	ids := make([]int64, 0, len(set))
	for id := range set {
		ids = append(ids, int64(id))
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return ids
}
