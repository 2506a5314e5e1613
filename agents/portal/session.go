package portal

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/phone"
	"tuma/internal/text"
	"tuma/sms/outbox"
)

// How long who is signed in stays so.
const (
	idleFor    = 15 * time.Minute
	sessionFor = 12 * time.Hour
	deviceFor  = 90 * 24 * time.Hour
	codeFor    = 5 * time.Minute
	codeTries  = 3
	// What is written of a visit to a page is this old at most.
	seenEvery = 30 * time.Second
)

// session is a browser in which somebody is signed in.
type session struct {
	secret   string         // the cookie
	Token    string         `db:"token"`
	Operator sql.NullInt64  `db:"operator"`
	MSISDN   phone.Number   `db:"msisdn"`
	Staff    sql.NullString `db:"staff"`
	PINAt    sql.NullTime   `db:"pin_at"`
	FactorAt sql.NullTime   `db:"factor_at"` // of staff: which second factor opened it
	Created  time.Time      `db:"created_at"`
	Seen     time.Time      `db:"last_seen"`
}

// The cookies' names without what Plain leaves out.
const (
	cookieSession = "tuma"
	cookieVisit   = "tuma-visit"
	cookieDevice  = "tuma-device"
	cookieLang    = "tuma-lang"
)

func (p *portal) cookieName(name string) string {
	if p.Plain {
		return name
	}
	return "__Host-" + name
}

func (c *call) cookie(name string) string {
	k, err := c.r.Cookie(c.cookieName(name))
	if err != nil {
		return ""
	}
	return k.Value
}

// setCookie gives the browser something to keep; age 0 ends with the browser, a
// negative one takes it away.
func (c *call) setCookie(name, value string, age time.Duration) {
	seconds := int(age / time.Second)
	http.SetCookie(c.w, &http.Cookie{
		Name: c.cookieName(name), Value: value, Path: "/", MaxAge: seconds, Secure: !c.Plain, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (c *call) newVisit() (err error) {
	if c.visit, err = c.token(); err == nil {
		c.setCookie(cookieVisit, c.visit, 0)
	}
	return err
}

const (
	sqlSession = `select token, operator, msisdn, staff, pin_at, factor_at, created_at, last_seen from portal_session where token = $1`
	sqlSeen    = `update portal_session set last_seen = $2 where token = $1`
	sqlLeave   = `delete from portal_session where token = $1`
)

// who finds out who is signed in. A session ends when nobody has used it for a
// while, when it is old, and when its owner's number, PIN or freedom to act is
// not what it was: that is looked up afresh each time.
func (c *call) who() error {
	if v := c.cookie(cookieVisit); isToken(v) {
		c.visit = v
	}
	secret := c.cookie(cookieSession)
	if !isToken(secret) {
		return nil
	}
	ctx, now := c.r.Context(), c.Pool.Now()
	s := &session{secret: secret}
	err := c.Pool.Get(ctx, s, sqlSession, hashed(secret))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("portal: session: %w", err)
	}
	good := now.Sub(s.Seen) < idleFor && now.Sub(s.Created) < sessionFor
	if good && s.Staff.Valid {
		good, err = c.asStaff(ctx, s)
	} else if good {
		good, err = c.asOperator(ctx, s)
	}
	if err != nil {
		return err
	}
	if !good {
		c.operator, c.staff, c.roles = agents.Operator{}, "", nil
		return c.exec(ctx, sqlLeave, s.Token)
	}
	if c.session = s; c.route.silent || now.Sub(s.Seen) < seenEvery {
		return nil
	}
	return c.Pool.InTxLazily(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, sqlSeen, s.Token, tx.Now)
		return err
	})
}

// exec runs one of the statements of sessions on one of them.
func (c *call) exec(ctx context.Context, query, token string) error {
	err := c.Pool.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, query, token)
		return err
	})
	if err != nil {
		return fmt.Errorf("portal: session: %w", err)
	}
	return nil
}

func (c *call) asOperator(ctx context.Context, s *session) (bool, error) {
	o, err := c.Agents.ByPhone(ctx, s.MSISDN)
	if errors.Is(err, agents.ErrNoOperator) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	at, chosen, err := c.Accounts.PINs().Changed(ctx, o.PIN)
	if err != nil {
		return false, err
	}
	c.operator, c.roles = o, []string{o.Role}
	return o.ID == s.Operator.Int64 && !o.Frozen && chosen && at.Equal(s.PINAt.Time), nil
}

// asStaff lets a member of staff who has given the code act in the role; who has
// not is nobody yet, and for as long as a code is good.
func (c *call) asStaff(ctx context.Context, s *session) (bool, error) {
	role, factor, err := c.Agents.Standing(ctx, s.Staff.String)
	if errors.Is(err, agents.ErrNotStaff) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.staff = s.Staff.String
	if !s.FactorAt.Valid {
		return c.Pool.Now().Sub(s.Created) < codeFor, nil
	}
	c.roles = []string{role}
	return s.FactorAt.Time.Equal(factor), nil
}

// halfway tells whether a member of staff has given the password and not the code.
func (c *call) halfway() bool { return c.session != nil && len(c.roles) == 0 }

const (
	sqlNewSession = `
insert into portal_session (token, operator, msisdn, staff, pin_at, factor_at, created_at, last_seen)
values ($1, nullif($2::bigint, 0), $3, nullif($4, ''), $5, $6, $7, $7)`
	sqlOldSessions = `delete from portal_session where last_seen < $1`
)

// enter signs somebody in: always under a new token, whatever the browser sent.
// Staff whose factor is the zero time have the code before them.
func (c *call) enter(o agents.Operator, staff string, factor time.Time) error {
	ctx := c.r.Context()
	secret, err := c.token()
	if err != nil {
		return err
	}
	var pinAt sql.NullTime
	if staff == "" {
		if pinAt.Time, pinAt.Valid, err = c.Accounts.PINs().Changed(ctx, o.PIN); err != nil {
			return err
		}
	}
	old := c.cookie(cookieSession)
	err = c.Pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlLeave, hashed(old)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlOldSessions, tx.Now.Add(-sessionFor)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlNewSession, hashed(secret), o.ID, string(o.Phone), staff, pinAt, sql.NullTime{Time: factor, Valid: !factor.IsZero()}, tx.Now)
		return err
	})
	if err != nil {
		return fmt.Errorf("portal: new session: %w", err)
	}
	c.setCookie(cookieSession, secret, 0)
	c.setCookie(cookieVisit, "", -time.Second)
	if staff == "" || !factor.IsZero() {
		c.Log.Info("portal: signed in", "operator", o.Phone.Masked(), "staff", staff)
	}
	return nil
}

// signOut ends the session on both sides.
func (c *call) signOut() error {
	if err := c.exec(c.r.Context(), sqlLeave, c.session.Token); err != nil {
		return err
	}
	c.setCookie(cookieSession, "", -time.Second)
	c.w.Header().Set("Clear-Site-Data", `"cache"`)
	if c.staff != "" {
		return c.redirect("/agents/staff/in")
	}
	return c.redirect("/agents/in")
}

const sqlKnown = `select exists (select from portal_device where token = $1 and operator = $2 and created_at > $3)`

// known tells whether the operator has given a code in this browser before.
func (c *call) known(o agents.Operator) (known bool, err error) {
	device := c.cookie(cookieDevice)
	if !isToken(device) {
		return false, nil
	}
	if err := c.Pool.Get(c.r.Context(), &known, sqlKnown, hashed(device), o.ID, c.Pool.Now().Add(-deviceFor)); err != nil {
		return false, fmt.Errorf("portal: device: %w", err)
	}
	return known, nil
}

const (
	sqlNewDevice  = `insert into portal_device (token, operator, created_at) values ($1, $2, $3)`
	sqlOldDevices = `delete from portal_device where created_at < $1 or (token = $2 and operator = $3)`
)

// remember makes the browser known, under a token that it did not have before.
func (c *call) remember(ctx context.Context, tx *db.Tx, o agents.Operator, device string) error {
	if _, err := tx.Exec(ctx, sqlOldDevices, tx.Now.Add(-deviceFor), hashed(device), o.ID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, sqlNewDevice, hashed(device), o.ID, tx.Now)
	return err
}

const (
	sqlOldCodes = `delete from portal_code where expires_at < $1 or visit = $2`
	sqlNewCode  = `insert into portal_code (visit, msisdn, operator, mac, expires_at) values ($1, $2, nullif($3::bigint, 0), $4, $5)`
)

// sendCode sends an operator a code for this browser. For a number that is
// nobody's, or whose operator may not come in, the same happens but no SMS.
func (c *call) sendCode(n phone.Number, o agents.Operator) error {
	ctx := c.r.Context()
	if err := c.newVisit(); err != nil { // a code belongs to a page of its own
		return err
	}
	code, err := c.code()
	if err != nil {
		return err
	}
	key, err := c.token()
	if err != nil {
		return err
	}
	var owed []outbox.Notice
	if o.ID != 0 {
		body, err := c.words.Fill(o.Lang, "sms.code", text.Holes{"code": code, "brand": c.Accounts.Country().Brand})
		if err != nil {
			return err
		}
		owed = []outbox.Notice{{Key: "portal_code:" + key, To: o.Phone, Lang: o.Lang, Body: body, Priority: outbox.Code, Expires: c.Pool.Now().Add(codeFor)}}
	}
	err = c.Pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlOldCodes, tx.Now, hashed(c.visit)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlNewCode, hashed(c.visit), string(n), o.ID, codeMAC(c.visit, code), tx.Now.Add(codeFor)); err != nil {
			return err
		}
		return outbox.WriteOnce(ctx, tx, owed)
	})
	if err != nil {
		return fmt.Errorf("portal: code: %w", err)
	}
	if err := outbox.Wake(ctx, c.Pool); err != nil {
		c.Log.Warn("portal: the relay was not woken; it looks by itself", "error", err)
	}
	return nil
}

// code makes six digits.
func (p *portal) code() (string, error) {
	b := make([]byte, 8)
	if _, err := io.ReadFull(p.Rand, b); err != nil {
		return "", fmt.Errorf("portal: randomness: %w", err)
	}
	n := 0
	for _, x := range b {
		n = (n<<8 + int(x)) % 1_000_000
	}
	return fmt.Sprintf("%06d", n), nil
}

// codeMAC is what is kept of a code. Its key is the browser's cookie, which is
// nowhere else: six digits alone would be found by trying.
func codeMAC(visit, code string) string {
	h := hmac.New(sha256.New, []byte(visit))
	h.Write([]byte(code))
	return hex.EncodeToString(h.Sum(nil))
}

type codeRow struct {
	MSISDN   phone.Number  `db:"msisdn"`
	Operator sql.NullInt64 `db:"operator"`
	MAC      string        `db:"mac"`
	Tries    int           `db:"tries"`
}

const (
	sqlTryCode  = `update portal_code set tries = tries + 1 where visit = $1 and tries < $2 and expires_at > $3 returning msisdn, operator, mac, tries`
	sqlUsedCode = `delete from portal_code where visit = $1`
)

// tryCode compares a code with that of this browser; the try is counted first.
// Refusals: code_gone (send another), wrong_code.
func (c *call) tryCode(code string) (codeRow, error) {
	var r codeRow
	ctx := c.r.Context()
	err := c.Pool.InTx(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &r, sqlTryCode, hashed(c.visit), codeTries, tx.Now) })
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, accounts.Refuse("code_gone")
	case err != nil:
		return r, fmt.Errorf("portal: code: %w", err)
	}
	right := hmac.Equal([]byte(codeMAC(c.visit, code)), []byte(r.MAC))
	switch {
	case right && r.Operator.Valid:
		return r, nil
	case r.Tries >= codeTries:
		return r, accounts.Refuse("code_gone")
	}
	return r, accounts.Refuse("wrong_code")
}
