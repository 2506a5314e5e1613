package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// memoText is a memo as it is stored and hashed: JSON with its keys in order, as
// encoding/json writes it; plain text, nearly all there is, without its detours.
func memoText(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	var room [8]string
	keys := room[:0]
	n := 2
	for k, v := range m {
		if !plain(k) || !plain(v) {
			b, err := json.Marshal(m) // sorts the keys of a map
			if err != nil {
				panic(err) // a map of strings always marshals
			}
			return string(b)
		}
		keys = append(keys, k)
		n += len(k) + len(v) + 6
	}
	slices.Sort(keys)
	b := make([]byte, 0, n)
	for i, k := range keys {
		b = append(b, "{,"[min(i, 1)])
		b = append(append(append(b, '"'), k...), `":"`...)
		b = append(append(b, m[k]...), '"')
	}
	return string(append(b, '}'))
}

// plain tells whether JSON writes a text as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func memoOf(text string) map[string]string {
	m := map[string]string{}
	if json.Unmarshal([]byte(text), &m) != nil {
		return nil // somebody changed the row: the audit names it
	}
	return m
}

// entryDigest is the SHA-256 of everything that an entry says. buf is scratch.
func entryDigest(buf []byte, id EntryID, at time.Time, kind, ref string, reverses EntryID, memo string, postings []Posting, afters []After) (digest, scratch []byte) {
	b := number(buf[:0], int64(id), at.UnixMicro(), int64(reverses), int64(len(postings)), int64(len(afters)))
	b = words(b, kind, ref, memo)
	for i := range postings {
		p := &postings[i]
		b = words(b, string(p.Why))
		b = number(b, int64(p.Debit), int64(p.Credit), int64(p.Amount))
	}
	for _, a := range afters {
		b = number(b, int64(a.Account), int64(a.Balance))
	}
	h := sha256.Sum256(b)
	return h[:], b
}

func number(b []byte, values ...int64) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// words appends texts with their lengths before them, so that no two lists of
// texts give the same bytes.
func words(b []byte, values ...string) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

// genesis is what the first block of a chain follows.
func genesis(chain int64) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "tuma chain %d", chain))
	return h[:]
}

// blockDigest seals one commit's entries to all before them in the chain;
// entries is the SHA-256 of their digests in the order of their ids.
func blockDigest(before []byte, chain, n, count int64, entries []byte) []byte {
	b := append([]byte(nil), before...)
	b = number(b, chain, n, count)
	h := sha256.Sum256(append(b, entries...))
	return h[:]
}

func sortedIDs[V any](set map[AccountID]V) []int64 {
	ids := make([]int64, 0, len(set))
	for id := range set {
		ids = append(ids, int64(id))
	}
	slices.Sort(ids)
	return ids
}
