package agents

import (
	"context"
	"errors"
	"fmt"

	"tuma/accounts"
	"tuma/internal/db"
)

// ErrNotHeld says that what an event tells of is not held any more.
var ErrNotHeld = errors.New("agents: nothing is held any more for this event")

func brakeSubject(id int64) string { return fmt.Sprintf("brake_event:%d", id) }

// ReviewBrake is what a member of staff makes of an event: accounts.BrakeFine,
// BrakeFraud or BrakeReleased, which ends what the event says is held. It is said
// once; the same again by the same person is the same answer. ErrNotStaff,
// ErrNoReason, ErrDecided, ErrNotHeld, accounts.ErrNoBrakeEvent.
func (s *Service) ReviewBrake(ctx context.Context, staff string, id int64, word, reason string) error {
	action := ActBrakeReview
	if word == accounts.BrakeReleased {
		action = ActBrakeRelease
	}
	if err := s.MayStaff(ctx, staff, action); err != nil {
		return err
	}
	reason, err := CheckReason(reason)
	if err != nil {
		return err
	}
	e, err := s.accounts.BrakeEventByID(ctx, id)
	if err != nil {
		return err
	}
	if e.Word == word && e.By == staff {
		return nil
	}
	err = s.pool.InTx(ctx, func(tx *db.Tx) error {
		first, err := s.accounts.ReviewBrakeIn(ctx, tx, id, staff, word, reason)
		if err == nil && !first {
			err = ErrDecided
		}
		if err != nil {
			return err
		}
		if word == accounts.BrakeReleased {
			held, err := s.accounts.ReleaseIn(ctx, tx, e)
			if err != nil {
				return err
			}
			if !held {
				return ErrNotHeld
			}
		}
		return s.Log(ctx, tx, LogEntry{Actor: staffActor(staff), Action: string(action), Subject: brakeSubject(id), Before: e.Rule + " " + e.Subject, After: word, Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("agents: event of a brake %d: %w", id, err)
	}
	return nil
}
