package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"tuma/internal/db"
)

// A PIN has 10,000 values, so no slow hash can protect it from whoever holds
// the table: the protection is a key kept outside the database. What is stored
// is HMAC-SHA256(key, row | HMAC-SHA256(key, salt | PIN)): bound to its row, so
// that a copied row does not open another account.
const (
	pinDigits  = 4
	pinTries   = 3
	idTries    = 3
	idWindow   = 24 * time.Hour
	saltLength = 16
	minKey     = 16
)

// PINID names a PIN's row; customers and operators each have one.
type PINID int64

// PINState tells what a PIN is good for.
type PINState int

// The states of a PIN.
const (
	PINReady  PINState = iota
	PINUnset           // not chosen yet, or reset by customer care: to be chosen with the ID number
	PINLocked          // three wrong tries: to be unlocked with the ID number
)

// Keys are the secrets behind PINs: new ones are sealed with Active, old ones
// verified with whichever sealed them and sealed anew when they are next right.
type Keys struct {
	Active string
	ByID   map[string][]byte
}

// SealedPIN is a PIN that cannot be read back without the key: what a session
// may hold between "choose" and "repeat".
type SealedPIN string

// PINs keeps and verifies PINs. Only the ways in call it, with what a person
// has just keyed in; no PIN goes further.
type PINs struct {
	pool   *db.Pool
	keys   Keys
	rand   io.Reader
	brakes Brakes
	note   func(context.Context, BrakeEvent)
	right  atomic.Int64 // PINs that were right and are to be counted with the next wrong one
}

func newPINs(pool *db.Pool, keys Keys, rand io.Reader) (*PINs, error) {
	if len(keys.ByID[keys.Active]) < minKey {
		return nil, fmt.Errorf("accounts: the active PIN key %q is missing or shorter than %d bytes", keys.Active, minKey)
	}
	for id, k := range keys.ByID {
		if len(k) < minKey || id == "" || strings.Contains(id, ".") {
			return nil, fmt.Errorf("accounts: PIN key %q: its name is empty or has a dot, or it is shorter than %d bytes", id, minKey)
		}
	}
	if rand == nil {
		return nil, errors.New("accounts: no source of randomness")
	}
	return &PINs{pool: pool, keys: keys, rand: rand}, nil
}

// Check refuses what is not a PIN (bad_pin) or is one of the first that a thief
// tries (weak_pin): repeats, runs, pairs, years of birth, and parts of the
// person's own numbers.
func (p *PINs) Check(pin string, personal ...string) error {
	if len(pin) != pinDigits || strings.Trim(pin, "0123456789") != "" {
		return Refuse("bad_pin")
	}
	weak := pin[0] == pin[1] && pin[2] == pin[3] || // 1122, 7777
		pin[:2] == pin[2:] || // 1212
		isRun(pin, 1) || isRun(pin, -1) ||
		(pin >= "1930" && pin <= "2029") // a year of somebody's birth
	for _, own := range personal {
		weak = weak || strings.Contains(own, pin)
	}
	if weak {
		return Refuse("weak_pin")
	}
	return nil
}

func isRun(pin string, step int) bool {
	for i := 1; i < len(pin); i++ {
		if (int(pin[i])-int(pin[i-1])-step)%10 != 0 {
			return false
		}
	}
	return true
}

// Seal makes a PIN unreadable. It does not check it.
func (p *PINs) Seal(pin string) (SealedPIN, error) {
	salt := make([]byte, saltLength)
	if _, err := io.ReadFull(p.rand, salt); err != nil {
		return "", fmt.Errorf("accounts: salt: %w", err)
	}
	inner := seal(p.keys.ByID[p.keys.Active], salt, []byte(pin))
	b64 := base64.RawStdEncoding.EncodeToString
	return SealedPIN(p.keys.Active + "." + b64(salt) + "." + b64(inner)), nil
}

type sealedParts struct {
	keyID       string
	salt, inner []byte
}

func (s SealedPIN) parts() (sealedParts, error) {
	f := strings.Split(string(s), ".")
	if len(f) != 3 {
		return sealedParts{}, errors.New("accounts: not a sealed PIN")
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(f[1])
	inner, err2 := base64.RawStdEncoding.DecodeString(f[2])
	return sealedParts{f[0], salt, inner}, errors.Join(err1, err2)
}

// Matches tells whether a sealed PIN is this one.
func (p *PINs) Matches(s SealedPIN, pin string) bool {
	f, err := s.parts()
	key, ok := p.keys.ByID[f.keyID]
	return err == nil && ok && subtle.ConstantTimeCompare(seal(key, f.salt, []byte(pin)), f.inner) == 1
}

func seal(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return h.Sum(nil)
}

func bind(key []byte, id PINID, inner []byte) []byte { return seal(key, fmt.Append(nil, id), inner) }

type pinRow struct {
	KeyID sql.NullString `db:"key_id"`
	Salt  []byte         `db:"salt"`
	MAC   []byte         `db:"mac"`
	Tries int            `db:"tries"`
}

func (r pinRow) state() PINState {
	switch {
	case !r.KeyID.Valid:
		return PINUnset
	case r.Tries >= pinTries:
		return PINLocked
	}
	return PINReady
}

// triedRow is a PIN whose counter was raised, when it was last wrong, and until
// when rules have no PIN tried.
type triedRow struct {
	pinRow
	Quiet      bool      `db:"quiet"`
	WrongAt    time.Time `db:"wrong_at"`
	QuietUntil time.Time `db:"quiet_until"`
	FloodUntil time.Time `db:"flood_until"`
}

const (
	sqlTryPIN = `
update pin set tries = tries + 1 where id = $1 and tries < $2 and mac is not null
returning key_id, salt, mac, tries, coalesce(greatest(right_at, changed_at) < $3, true) as quiet,
    coalesce(wrong_at, 'epoch') as wrong_at,
    coalesce((select until from pin_pause where rule = 'pin_spray_quiet'), 'epoch') as quiet_until,
    coalesce((select until from pin_pause where rule = 'pin_flood'), 'epoch') as flood_until`
	sqlPINState = `select key_id, salt, mac, tries from pin where id = $1`
	sqlPINRight = `update pin set tries = 0, right_at = $2 where id = $1`
)

// Verify compares a PIN. One transaction raises the counter, which holds the
// PIN's row, compares, and takes the raise back when the PIN is right: so tries
// of one PIN take turns, in whichever process, and right ones at once cost none.
// No verdict leaves before the commit is answered, and a right PIN waits for it
// as a wrong one does. So what was cut off in between has told nobody anything,
// and neither a crash nor a thousand calls at once tell more than three wrong
// ones. The refusals are wrong_pin (hole left), pin_locked, pin_unset and
// pins_paused: somebody is trying PINs on many numbers, and this one was neither
// compared nor counted.
func (p *PINs) Verify(ctx context.Context, id PINID, pin string) error {
	var verdict error
	var events []BrakeEvent
	err := p.pool.InTxPrepared(ctx, func(tx *db.Tx) (err error) {
		verdict, events, err = p.try(ctx, tx, id, pin)
		return err
	})
	if paused, ok := errors.AsType[pausedError](err); ok {
		p.note(ctx, BrakeEvent{Rule: paused.rule, Detail: "PINs were not tried"})
		return Refuse("pins_paused")
	}
	if err != nil {
		return fmt.Errorf("accounts: PIN %d: %w", id, err)
	}
	if verdict == nil {
		p.right.Add(1)
	}
	for _, e := range events {
		p.note(ctx, e)
	}
	return verdict
}

// try is one turn: its verdict counts when the transaction is committed, as do
// the events. Of a right PIN the COMMIT goes to the server with the second
// statement, which makes two exchanges of the whole.
func (p *PINs) try(ctx context.Context, tx *db.Tx, id PINID, pin string) (verdict error, events []BrakeEvent, err error) {
	var r triedRow
	err = tx.Get(ctx, &r, sqlTryPIN, int64(id), pinTries, tx.Now.Add(-quietAfter))
	if errors.Is(err, sql.ErrNoRows) {
		if err := tx.Get(ctx, &r.pinRow, sqlPINState, int64(id)); err != nil {
			return nil, nil, err
		}
		if r.state() == PINUnset {
			return Refuse("pin_unset"), nil, nil
		}
		return Refuse("pin_locked"), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if err := p.paused(r, tx.Now); err != nil {
		return nil, nil, err
	}
	key, ok := p.keys.ByID[r.KeyID.String]
	if !ok {
		return nil, nil, fmt.Errorf("sealed with key %q, which is not configured", r.KeyID.String)
	}
	if subtle.ConstantTimeCompare(bind(key, id, seal(key, r.Salt, []byte(pin))), r.MAC) != 1 {
		if events, err = p.wrong(ctx, tx, id, r); err != nil {
			return nil, nil, err
		}
		if r.Tries >= pinTries {
			return Refuse("pin_locked"), events, nil
		}
		return Refuse("wrong_pin", "left", fmt.Sprint(pinTries-r.Tries)), events, nil
	}
	if err := p.madeGood(ctx, tx, id, r); err != nil {
		return nil, nil, err
	}
	if r.KeyID.String != p.keys.Active {
		return nil, nil, p.reseal(ctx, tx, id, pin)
	}
	_, err = tx.ExecLast(ctx, sqlPINRight, int64(id), tx.Now)
	return nil, nil, err
}

// State tells what a PIN is good for.
func (p *PINs) State(ctx context.Context, id PINID) (PINState, error) {
	var r pinRow
	if err := p.pool.Get(ctx, &r, sqlPINState, int64(id)); err != nil {
		return 0, fmt.Errorf("accounts: PIN %d: %w", id, err)
	}
	return r.state(), nil
}

const sqlPINChanged = `select coalesce(changed_at, 'epoch') from pin where id = $1 and mac is not null`

// Changed tells when a PIN was chosen; false when there is none. A way in that
// keeps people signed in ends that when it changes.
func (p *PINs) Changed(ctx context.Context, id PINID) (at time.Time, chosen bool, err error) {
	err = p.pool.Get(ctx, &at, sqlPINChanged, int64(id))
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("accounts: PIN %d: %w", id, err)
	}
	return at.UTC(), true, nil
}

const sqlReseal = `update pin set key_id = $2, salt = decode($3, 'hex'), mac = decode($4, 'hex'), tries = 0, right_at = $5 where id = $1`

// reseal replaces the key of a PIN that was right, in the turn that found it so.
func (p *PINs) reseal(ctx context.Context, tx *db.Tx, id PINID, pin string) error {
	s, err := p.Seal(pin)
	if err != nil {
		return err
	}
	f, mac, err := p.bound(id, s)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, sqlReseal, int64(id), f.keyID, fmt.Sprintf("%x", f.salt), mac, tx.Now)
	return err
}

// bound is what is stored of a sealed PIN, its MAC as hexadecimal digits.
func (p *PINs) bound(id PINID, s SealedPIN) (f sealedParts, mac string, err error) {
	if f, err = s.parts(); err != nil {
		return f, "", err
	}
	key, ok := p.keys.ByID[f.keyID]
	if !ok {
		return f, "", fmt.Errorf("accounts: a PIN sealed with key %q, which is not configured", f.keyID)
	}
	return f, fmt.Sprintf("%x", bind(key, id, f.inner)), nil
}

const sqlSetPIN = `
update pin set key_id = $2, salt = decode($3, 'hex'), mac = decode($4, 'hex'), tries = 0, changed_at = $5 where id = $1`

// setIn replaces a PIN and clears its tries.
func (p *PINs) setIn(ctx context.Context, tx *db.Tx, id PINID, s SealedPIN) error {
	f, mac, err := p.bound(id, s)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, sqlSetPIN, int64(id), f.keyID, fmt.Sprintf("%x", f.salt), mac, tx.Now)
	if err == nil && n != 1 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return fmt.Errorf("accounts: setting PIN %d: %w", id, err)
	}
	return nil
}

const (
	sqlNewPIN = `insert into pin (id) values (nextval('pin_id')) returning id`
	sqlTryID  = `
update pin set id_tries = case when id_since <= $2 then 1 else id_tries + 1 end,
               id_since = case when id_since <= $2 then $3 else id_since end
where id = $1 and (id_since <= $2 or id_tries < $4) returning id_tries`
	sqlUnlock   = `update pin set tries = 0 where id = $1`
	sqlResetPIN = `update pin set key_id = null, salt = null, mac = null, tries = 0, id_tries = 0, id_since = '-infinity', reset_at = $2 where id = $1`
)

// Open makes the row of a PIN that is yet to be chosen, in the caller's
// transaction; sealed may be "".
func (p *PINs) Open(ctx context.Context, tx *db.Tx, sealed SealedPIN) (PINID, error) {
	var id PINID
	if err := tx.Get(ctx, &id, sqlNewPIN); err != nil {
		return 0, fmt.Errorf("accounts: opening a PIN: %w", err)
	}
	if sealed == "" {
		return id, nil
	}
	return id, p.setIn(ctx, tx, id, sealed)
}

// Unlock gives three new tries of the same PIN for the right ID number. At most
// three answers, right or wrong, are heard in 24 hours: unlock_used sends the
// person to customer care. The other refusals are wrong_id, and pin_held (hole
// hours) for a while after a change of SIM.
func (p *PINs) Unlock(ctx context.Context, id PINID, given, known string) error {
	if err := p.answer(ctx, id, given, known); err != nil {
		return err
	}
	return p.exec(ctx, sqlUnlock, id)
}

// Activate chooses a PIN where there is none, for the right ID number; refusals
// as in Unlock, and pin_set where there is one.
func (p *PINs) Activate(ctx context.Context, id PINID, given, known string, s SealedPIN) error {
	if err := p.answer(ctx, id, given, known); err != nil {
		return err
	}
	return p.pool.InTx(ctx, func(tx *db.Tx) error {
		var r pinRow
		if err := tx.Get(ctx, &r, sqlPINState+" for update", int64(id)); err != nil {
			return fmt.Errorf("accounts: PIN %d: %w", id, err)
		}
		if r.state() != PINUnset {
			return Refuse("pin_set")
		}
		return p.setIn(ctx, tx, id, s)
	})
}

// Reset takes a PIN away, so that its owner chooses a new one with the ID
// number: customer care's way back for who forgot it. Refusal pin_held as in
// Unlock.
func (p *PINs) Reset(ctx context.Context, id PINID) error {
	return p.pool.InTx(ctx, func(tx *db.Tx) error { return p.ResetIn(ctx, tx, id) })
}

// ResetIn does the same in the caller's transaction.
func (p *PINs) ResetIn(ctx context.Context, tx *db.Tx, id PINID) error {
	if err := p.held(ctx, tx, id); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, sqlResetPIN, int64(id), tx.Now)
	if err == nil && n != 1 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return fmt.Errorf("accounts: PIN %d: %w", id, err)
	}
	return nil
}

func (p *PINs) exec(ctx context.Context, query string, id PINID) error {
	err := p.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, query, int64(id))
		if err == nil && n != 1 {
			err = sql.ErrNoRows
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("accounts: PIN %d: %w", id, err)
	}
	return nil
}

// answer counts and compares an answer to "your ID number".
func (p *PINs) answer(ctx context.Context, id PINID, given, known string) error {
	var n int
	err := p.pool.InTx(ctx, func(tx *db.Tx) error {
		if err := p.held(ctx, tx, id); err != nil {
			return err
		}
		return tx.Get(ctx, &n, sqlTryID, int64(id), tx.Now.Add(-idWindow), tx.Now, idTries)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Refuse("unlock_used")
	case err != nil:
		return fmt.Errorf("accounts: PIN %d: %w", id, err)
	}
	if subtle.ConstantTimeCompare([]byte(strings.ToUpper(strings.TrimSpace(given))), []byte(known)) == 1 {
		return nil
	}
	if n >= idTries {
		return Refuse("unlock_used")
	}
	return Refuse("wrong_id", "left", fmt.Sprint(idTries-n))
}
