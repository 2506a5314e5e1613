package agents

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"tuma/internal/db"
)

// The second factor of staff: a code of six digits that changes every 30 seconds,
// from an app that any phone has (RFC 6238).
const (
	codeStep    = 30 // seconds
	codeSkew    = 1  // steps that a phone's clock may be early or late
	codeTries   = 10 // wrong codes in a row
	factorBytes = 20
)

// Errors of second factors.
var (
	ErrNoFactor     = errors.New("agents: no second factor has been set up")
	ErrFactorLocked = errors.New("agents: too many wrong codes: a colleague has to take the second factor away")
	ErrWrongCode    = errors.New("agents: this code is not right, or has been used")
)

func factorOptions() hotp.ValidateOpts {
	return hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}
}

// CodeAt is what an authenticator shows for a secret at an instant.
func CodeAt(secret string, at time.Time) (string, error) {
	return codeOf(secret, at.Unix()/codeStep)
}

func codeOf(secret string, step int64) (string, error) {
	code, err := hotp.GenerateCodeCustom(secret, uint64(step), factorOptions())
	if err != nil {
		return "", fmt.Errorf("agents: a one-time code: %w", err)
	}
	return code, nil
}

// Factor is a second factor that is being set up.
type Factor struct {
	Secret string // in base32, as people key it into an app
	URI    string // the same for a camera
}

func (s *Service) factor(name, secret string) Factor {
	brand := s.accounts.Country().Brand
	return Factor{Secret: secret, URI: "otpauth://totp/" + url.PathEscape(brand+":"+name) + "?secret=" + secret + "&issuer=" + url.QueryEscape(brand)}
}

func factorOf(name string) string { return "factor:" + name }

type factorRow struct {
	Secret    string       `db:"secret"`
	Confirmed sql.NullTime `db:"confirmed_at"`
	Last      int64        `db:"last_step"`
	Tries     int          `db:"tries"`
}

const (
	sqlFactor    = `select secret, confirmed_at, last_step, tries from staff_factor where staff = $1`
	sqlNewFactor = `insert into staff_factor (staff, secret, created_at) values ($1, $2, $3) on conflict (staff) do nothing`
)

// SetUpFactor gives the second factor that a member of staff is to set up: the
// same until its first code has been given. ErrExists when that has happened.
func (s *Service) SetUpFactor(ctx context.Context, name string) (Factor, error) {
	raw := make([]byte, factorBytes)
	if _, err := io.ReadFull(s.rand, raw); err != nil {
		return Factor{}, fmt.Errorf("agents: a secret: %w", err)
	}
	return s.setUpFactor(ctx, name, base32.StdEncoding.EncodeToString(raw))
}

func (s *Service) setUpFactor(ctx context.Context, name, secret string) (Factor, error) {
	sealed, err := s.accounts.PINs().SealSecret(factorOf(name), []byte(secret))
	if err != nil {
		return Factor{}, err
	}
	var r factorRow
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlNewFactor, name, sealed, tx.Now); err != nil {
			return err
		}
		return tx.Get(ctx, &r, sqlFactor, name)
	})
	if err != nil {
		return Factor{}, fmt.Errorf("agents: second factor of %s: %w", name, err)
	}
	if r.Confirmed.Valid {
		return Factor{}, fmt.Errorf("%w: the second factor of %s", ErrExists, name)
	}
	kept, _, err := s.accounts.PINs().OpenSecret(factorOf(name), r.Secret)
	if err != nil {
		return Factor{}, err
	}
	return s.factor(name, string(kept)), nil
}

const sqlDemoFactor = `update staff_factor set confirmed_at = $2 where staff = $1 and confirmed_at is null`

// DemoFactor sets a second factor up whose secret everybody knows; ErrExists.
func (s *Service) DemoFactor(ctx context.Context, name, secret string) error {
	if _, err := s.setUpFactor(ctx, name, secret); err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlDemoFactor, name, tx.Now); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Action: "factor_set_up", Subject: staffActor(name), After: "demo"})
	})
}

const (
	sqlTryFactor = `update staff_factor set tries = tries + 1 where staff = $1 and tries < $2 returning secret, confirmed_at, last_step, tries`
	// Of two who give the same code at once one is told that it has been used.
	sqlFactorRight = `update staff_factor set tries = 0, last_step = $2, confirmed_at = coalesce(confirmed_at, $3), secret = $4 where staff = $1 and last_step < $2`
)

// CheckCode takes a one-time code. The try is counted before the comparison, and
// no code is taken twice, nor one before it. The first one finishes the setting
// up. ErrNoFactor, ErrFactorLocked, ErrWrongCode.
func (s *Service) CheckCode(ctx context.Context, name, code string) error {
	var r factorRow
	err := s.pool.InTx(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &r, sqlTryFactor, name, codeTries) })
	if errors.Is(err, sql.ErrNoRows) {
		if err := s.pool.Get(ctx, &r, sqlFactor, name); errors.Is(err, sql.ErrNoRows) {
			return ErrNoFactor
		} else if err != nil {
			return fmt.Errorf("agents: second factor of %s: %w", name, err)
		}
		return ErrFactorLocked
	}
	if err != nil {
		return fmt.Errorf("agents: second factor of %s: %w", name, err)
	}
	secret, stale, err := s.accounts.PINs().OpenSecret(factorOf(name), r.Secret)
	if err != nil {
		return err
	}
	step, err := s.stepOf(string(secret), code, r.Last)
	if err != nil {
		return err
	}
	if step == 0 {
		if r.Tries >= codeTries {
			return ErrFactorLocked
		}
		return ErrWrongCode
	}
	sealed := r.Secret
	if stale {
		if sealed, err = s.accounts.PINs().SealSecret(factorOf(name), secret); err != nil {
			return err
		}
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlFactorRight, name, step, tx.Now, sealed)
		if err == nil && n == 0 {
			err = ErrWrongCode
		}
		if err != nil || r.Confirmed.Valid {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(name), Action: "factor_set_up", Subject: staffActor(name)})
	})
	if err != nil {
		return fmt.Errorf("agents: second factor of %s: %w", name, err)
	}
	return nil
}

// stepOf is the step whose code this is, of those that are not used up; 0: none.
func (s *Service) stepOf(secret, code string, last int64) (found int64, err error) {
	code = strings.Join(strings.Fields(code), "")
	now := s.accounts.Now().Unix() / codeStep
	for step := now - codeSkew; step <= now+codeSkew; step++ {
		want, err := codeOf(secret, step)
		if err != nil {
			return 0, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && step > last {
			found = step
		}
	}
	return found, nil
}

const sqlResetFactor = `delete from staff_factor where staff = $1`

// ResetFactor takes a colleague's second factor away, whose phone is lost: the
// next sign-in sets up another. It ends the colleague's sessions. ErrNotStaff,
// ErrSamePerson, ErrNoReason, ErrNoFactor.
func (s *Service) ResetFactor(ctx context.Context, by, name, reason string) error {
	reason, err := CheckReason(reason)
	if err != nil {
		return err
	}
	if err := s.MayStaff(ctx, by, ActFactorReset); err != nil {
		return err
	}
	if by == name {
		return ErrSamePerson
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, sqlResetFactor, name)
		if err == nil && n == 0 {
			err = ErrNoFactor
		}
		if err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(by), Action: string(ActFactorReset), Subject: staffActor(name), Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("agents: second factor of %s: %w", name, err)
	}
	return nil
}

const sqlStanding = `
select s.role, f.confirmed_at from staff s left join staff_factor f on f.staff = s.name where s.name = $1 and s.active`

// Standing is what a member of staff may do now, and when the second factor was
// set up, the zero time when it was not; ErrNotStaff.
func (s *Service) Standing(ctx context.Context, name string) (role string, factor time.Time, err error) {
	var r struct {
		Role   string       `db:"role"`
		Factor sql.NullTime `db:"confirmed_at"`
	}
	err = s.pool.Get(ctx, &r, sqlStanding, name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", time.Time{}, ErrNotStaff
	case err != nil:
		return "", time.Time{}, fmt.Errorf("agents: staff: %w", err)
	case r.Factor.Valid:
		factor = r.Factor.Time.UTC()
	}
	return r.Role, factor, nil
}
