// Package accounts knows customers: who they are, their wallets, PINs, tiers
// and limits, the tariff, and the verbs that move their money. Every verb hands
// one finished entry to the book and owes its parties their notices in the same
// commit.
//
// It refuses to know how a customer reached it (USSD, SMS, a page), how an SMS
// is sent, and what a till is.
package accounts

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"tuma/accounts/ledger"
	"tuma/internal/db"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

//go:embed notices/*.txt
var noticeFiles embed.FS

// Country is everything that differs from one country to the next, beside the
// tariff. Kenya is what the commands take when nothing else is said.
type Country struct {
	Phone       phone.Country
	Currency    money.Currency
	ServiceCode string         // what customers dial, *334#
	Languages   []string       // the first is a stranger's
	Zone        *time.Location // of limits, receipts and dates
	Brand       string         // what the service is called in texts, at most 6 characters for the longest notice
	Care        string         // the number of customer care, as people dial it
}

// Config is what the service is made of.
type Config struct {
	Pool       *db.Pool
	Country    Country
	Keys       Keys      // of PINs
	ReceiptKey []byte    // at least 16 bytes, the same in every process
	Tariff     Tariff    // what to publish; see ParseTariff
	Rand       io.Reader // salts; read from many goroutines at once
	Log        *slog.Logger
	Posters    int                // of the book, 0: its default
	Watch      func(ledger.Batch) // told of every batch of the book; must not wait. nil: nobody
	Brakes     Brakes             // rules against fraud and abuse; see ParseBrakes. nil: none
	// Braked is told what a rule has done; must not wait. nil: nobody.
	Braked func(rule, outcome string)
	// Push puts an approval on the customer's phone. nil: all wait in the menu.
	Push func(context.Context, Approval) error
}

// Service is the customers' side of the business.
type Service struct {
	pool    *db.Pool
	book    *ledger.Book
	country Country
	pins    *PINs
	tariffs *tariffs
	words   *text.Catalogue
	house   House
	wake    *waker
	push    func(context.Context, Approval) error
	settles map[string]Settle // by kind
	brakes  Brakes
	braked  func(rule, outcome string)
	log     *slog.Logger
}

// House are the house's own accounts.
type House struct {
	Trust, Fees, Tax, CommissionExpense, Airtime, Held ledger.AccountID
}

// New opens the service: it publishes the tariff, opens the house's accounts
// where they are missing, and starts the book. Close ends it.
func New(ctx context.Context, c Config) (*Service, error) {
	words, err := text.ParseCatalogue(noticeFiles, "notices")
	if err != nil {
		return nil, fmt.Errorf("accounts: notices: %w", err)
	}
	if err := c.check(words); err != nil {
		return nil, err
	}
	s := &Service{pool: c.Pool, country: c.Country, words: words, push: c.Push, settles: map[string]Settle{}, brakes: c.Brakes, braked: c.Braked, log: c.Log}
	if s.pins, err = newPINs(c.Pool, c.Keys, c.Rand); err != nil {
		return nil, err
	}
	s.pins.brakes, s.pins.note = c.Brakes, s.NoteBrake
	s.settles["send"], s.settles["airtime"] = s.settleSend, s.settleAirtime
	s.startWaker()
	// What must happen in the same commit as an entry, in this order.
	hooks := []ledger.Hook{s.approveAsked, s.oweNotices, s.orderAirtime}
	if s.book, err = ledger.New(c.Pool, ledger.Config{Zone: c.Country.Zone, ReceiptKey: c.ReceiptKey, Posters: c.Posters, Hooks: hooks, After: s.wake.nudge, Watch: c.Watch}); err != nil {
		s.wake.close()
		return nil, err
	}
	if s.tariffs, err = publish(ctx, c.Pool, c.Tariff, s.book.Day); err == nil {
		err = s.openHouse(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// maxBrand is what the longest notice has room for.
const maxBrand = 6

func (c Config) check(words *text.Catalogue) error {
	switch n, ok := text.Septets(c.Country.Brand); {
	case c.Pool == nil || c.Log == nil || c.Country.Zone == nil:
		return errors.New("accounts: a pool, a log and a time zone are needed")
	case n == 0 || n > maxBrand || !ok:
		return fmt.Errorf("accounts: the brand %q does not have 1 to %d characters of an SMS", c.Country.Brand, maxBrand)
	case c.Country.ServiceCode == "" || c.Country.Care == "":
		return errors.New("accounts: the service code and the number of customer care are needed: notices name them")
	case len(c.Country.Languages) == 0:
		return errors.New("accounts: the country has no language")
	}
	for _, lang := range c.Country.Languages {
		if !slices.Contains(words.Languages(), lang) {
			return fmt.Errorf("accounts: there are no notices in language %q", lang)
		}
	}
	return nil
}

func (s *Service) openHouse(ctx context.Context) (err error) {
	for _, h := range []struct {
		kind ledger.Kind
		id   *ledger.AccountID
	}{
		{ledger.Trust, &s.house.Trust},
		{ledger.Fees, &s.house.Fees},
		{ledger.TaxDue, &s.house.Tax},
		{ledger.CommissionExpense, &s.house.CommissionExpense},
		{ledger.Airtime, &s.house.Airtime},
		{ledger.Held, &s.house.Held},
	} {
		if *h.id, err = s.book.House(ctx, h.kind, s.country.Currency.Code); err != nil {
			return err
		}
	}
	return nil
}

// Close lets what is being posted finish.
func (s *Service) Close() {
	s.book.Close()
	s.wake.close()
}

// Country gives the country's settings.
func (s *Service) Country() Country { return s.country }

// Now is the clock that the book uses.
func (s *Service) Now() time.Time { return s.pool.Now() }

// Book is the ledger, for the rooms on this floor: agents.
func (s *Service) Book() *ledger.Book { return s.book }

// House gives the house's accounts, for the rooms on this floor.
func (s *Service) House() House { return s.house }

// PINs verifies and keeps PINs.
func (s *Service) PINs() *PINs { return s.pins }

// Money writes an amount as people read it: Ksh1,234.00.
func (s *Service) Money(a money.Amount) string { return s.country.Currency.Format(a) }
