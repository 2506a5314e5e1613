package ledger

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A receipt's code has 10 characters, as M-PESA's have had since 2015: a letter
// for the year (A is 2006, again every 26 years), a letter for the month, a
// character for the day (1-9, then A is 10), and seven from a keyed permutation
// of the entry's number within its month. Two entries cannot get the same code,
// since a permutation never repeats and a month has fewer than 2^35 entries; and
// a code tells nothing of its neighbours to whoever lacks the key.
const (
	codeLength = 10
	alphabet   = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789" // without I, O, 0 and 1, which people confuse
	days       = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
	codeBits   = 35 // 7 characters of 5 bits
	leftBits   = 18
	rightBits  = codeBits - leftBits
	rounds     = 8
)

// ErrNotACode says that a text cannot be a receipt's code.
var ErrNotACode = errors.New("ledger: not a receipt's code")

// codes turns entry numbers into receipt codes and back.
type codes struct {
	block cipher.Block
	zone  *time.Location
}

func newCodes(key []byte, zone *time.Location) (codes, error) {
	k := sha256.Sum256(key)
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return codes{}, fmt.Errorf("ledger: receipt key: %w", err)
	}
	return codes{block, zone}, nil
}

func (c codes) code(id EntryID, at time.Time) string {
	at = at.In(c.zone)
	b := make([]byte, 0, codeLength)
	b = append(b, byte('A'+(at.Year()-firstYear)%26), byte('A'+int(at.Month())-1), days[at.Day()])
	n := c.permute(uint64(id) & (1<<codeBits - 1))
	for shift := codeBits - 5; shift >= 0; shift -= 5 {
		b = append(b, alphabet[n>>shift&31])
	}
	return string(b)
}

// entry gives the id behind a code. The year is the latest, up to now, that its
// letter can stand for.
func (c codes) entry(code string, now time.Time) (EntryID, error) {
	code = strings.ToUpper(strings.TrimSpace(code))
	if len(code) != codeLength || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'L' || strings.IndexByte(days[1:], code[2]) < 0 {
		return 0, ErrNotACode
	}
	var n uint64
	for _, r := range []byte(code[3:]) {
		i := strings.IndexByte(alphabet, r)
		if i < 0 {
			return 0, ErrNotACode
		}
		n = n<<5 | uint64(i)
	}
	year := int64(code[0] - 'A')
	for year+26 <= int64(now.In(c.zone).Year()-firstYear) {
		year += 26
	}
	month := year*12 + int64(code[1]-'A')
	return EntryID(month<<monthBits | int64(c.unpermute(n))), nil
}

// permute is a Feistel network over two unequal halves, with AES as its round
// function.
func (c codes) permute(n uint64) uint64 {
	l, r := n>>rightBits, n&(1<<rightBits-1)
	for i := range rounds {
		if i%2 == 0 {
			l = (l + c.mix(i, r)) & (1<<leftBits - 1)
		} else {
			r = (r + c.mix(i, l)) & (1<<rightBits - 1)
		}
	}
	return l<<rightBits | r
}

func (c codes) unpermute(n uint64) uint64 {
	l, r := n>>rightBits, n&(1<<rightBits-1)
	for i := rounds - 1; i >= 0; i-- {
		if i%2 == 0 {
			l = (l - c.mix(i, r)) & (1<<leftBits - 1)
		} else {
			r = (r - c.mix(i, l)) & (1<<rightBits - 1)
		}
	}
	return l<<rightBits | r
}

func (c codes) mix(round int, half uint64) uint64 {
	var b [aes.BlockSize]byte
	b[0] = byte(round)
	binary.BigEndian.PutUint64(b[8:], half)
	c.block.Encrypt(b[:], b[:])
	return binary.BigEndian.Uint64(b[:])
}
