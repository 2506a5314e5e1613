package agents

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/argon2"

	"tuma/internal/db"
)

// Costs of argon2id for staff passwords (RFC 9106, the smaller recommended
// profile): about 50 ms and 64 MiB, few people sign in.
const (
	argonTime    = 3
	argonMemory  = 64 * 1024 // KiB
	argonThreads = 4
	argonKey     = 32
	argonSalt    = 16
	minPassword  = 10
	maxPassword  = 200
)

// ErrNotStaff says that name and password do not open anything, or not this.
var ErrNotStaff = errors.New("agents: no member of staff with this name, password and role")

const (
	sqlNewStaff = `insert into staff (name, password, role, created_at) values ($1, $2, $3, $4)`
	sqlStaff    = `select password from staff where name = $1 and active`
	sqlMay      = `select exists (select from staff where name = $1 and role = $2 and active)`
)

// CreateStaff registers a person who works for the service: a maker, a checker,
// or customer care. ErrExists when the name is taken.
func (s *Service) CreateStaff(ctx context.Context, name, password, role string) error {
	if len(name) < 2 || len(name) > 40 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return fmt.Errorf("agents: a staff name has 2 to 40 of a-z, 0-9, . and -, not %.60q", name)
	}
	if len(password) < minPassword || len(password) > maxPassword {
		return fmt.Errorf("agents: a password has %d to %d characters", minPassword, maxPassword)
	}
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(s.rand, salt); err != nil {
		return fmt.Errorf("agents: salt: %w", err)
	}
	hash := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding.EncodeToString
	stored := fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(hash))
	err := s.pool.InTx(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, sqlNewStaff, name, stored, role, tx.Now); err != nil {
			return err
		}
		return s.Log(ctx, tx, LogEntry{Action: "staff_create", Subject: staffActor(name), After: role})
	})
	switch {
	case db.Violates(err, "staff_pkey"):
		return fmt.Errorf("%w: a member of staff called %s", ErrExists, name)
	case db.Violates(err, "role_is_known"):
		return fmt.Errorf("agents: a role is maker, checker or care, not %.60q", role)
	case err != nil:
		return fmt.Errorf("agents: creating staff: %w", err)
	}
	return nil
}

// CheckStaff verifies a member of staff's password; ErrNotStaff.
func (s *Service) CheckStaff(ctx context.Context, name, password string) error {
	var stored string
	err := s.pool.Get(ctx, &stored, sqlStaff, name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("agents: staff: %w", err)
	}
	if err != nil || len(password) > maxPassword {
		// As long as for a name that exists: the time tells nobody which do.
		argon2.IDKey(nil, make([]byte, argonSalt), argonTime, argonMemory, argonThreads, argonKey)
		return ErrNotStaff
	}
	var memory, time uint32
	var threads uint8
	f := strings.Split(stored, "$")
	if len(f) != 6 {
		return fmt.Errorf("agents: the password of %s is not in a form that we wrote", name)
	}
	_, err1 := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &memory, &time, &threads)
	salt, err2 := base64.RawStdEncoding.DecodeString(f[4])
	want, err3 := base64.RawStdEncoding.DecodeString(f[5])
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("agents: the password of %s is not in a form that we wrote: %w", name, err)
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, threads, uint32(len(want)))
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return ErrNotStaff
	}
	return nil
}

// May refuses who does not have a role; ErrNotStaff.
func (s *Service) May(ctx context.Context, name, role string) error {
	var ok bool
	if err := s.pool.Get(ctx, &ok, sqlMay, name, role); err != nil {
		return fmt.Errorf("agents: staff: %w", err)
	}
	if !ok {
		return fmt.Errorf("%w: %s is not an active %s", ErrNotStaff, name, role)
	}
	return nil
}
