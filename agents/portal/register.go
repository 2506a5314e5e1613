package portal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tuma/accounts"
	"tuma/internal/db"
	"tuma/internal/phone"
)

// registerForm is the page on which a customer is registered.
type registerForm struct {
	Ref, Number, Name, ID, Born string
	Most                        int64 // bytes of a photo
	Languages                   []language
}

func (c *call) showRegister() error { return c.registerPage(http.StatusOK, "") }

func (c *call) registerPage(status int, say string) error {
	if c.Photos == "" {
		return c.refusePage(http.StatusNotFound, "no_photos")
	}
	ref, err := c.ref()
	if err != nil {
		return err
	}
	form := registerForm{Ref: ref, Number: clip(c.field("number")), Name: clip(c.field("name")), ID: clip(c.field("id")), Born: clip(c.field("born")), Most: maxPhoto}
	chosen := c.field("lang")
	if chosen == "" {
		chosen = c.languages[0]
	}
	for _, code := range c.languages {
		own, _ := c.words.Text(code, "own_name")
		form.Languages = append(form.Languages, language{code, own.Body, code == chosen})
	}
	return c.page(status, "register", view{Title: "register", Say: say, Data: form})
}

// register opens a wallet for a person whose document the operator has in hand,
// and keeps its photo. The same form again is the same registration.
func (c *call) register() error {
	token := c.field("ref")
	if c.Photos == "" || !isToken(token) {
		return c.oldForm()
	}
	if before, err := c.registration(token); err == nil {
		return c.redirect("/agents/registered/" + before.token)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	r, born, err := c.registrationForm()
	if err != nil {
		return c.registerRefused(err)
	}
	photo, err := c.photo()
	if err != nil {
		return c.registerRefused(err)
	}
	if say, err := c.checkPIN(c.operator, c.field("pin")); err != nil {
		return err
	} else if say != "" {
		return c.registerPage(http.StatusUnprocessableEntity, say)
	}
	who, err := c.Agents.RegisterCustomer(c.r.Context(), "portal:"+token, c.operator, r)
	if errors.Is(err, accounts.ErrRegistrationReused) {
		return c.oldForm()
	}
	if err != nil {
		return c.registerRefused(err)
	}
	if err := c.keepFor(who, token, born, photo); err != nil {
		return err
	}
	return c.redirect("/agents/registered/" + token)
}

func (c *call) registerRefused(err error) error {
	if errors.Is(err, errPhoto) {
		err = accounts.Refuse("bad_photo")
	}
	say, err := c.refused(err)
	if err != nil {
		return err
	}
	return c.registerPage(http.StatusUnprocessableEntity, say)
}

// oldest is the year before which nobody who comes to a till was born.
const oldest = 1900

func (c *call) registrationForm() (r accounts.Registration, born string, err error) {
	n, err := c.number("number")
	if err != nil {
		return r, "", err
	}
	name, err := c.Accounts.CheckName(c.field("name"))
	if err != nil {
		return r, "", err
	}
	id, err := c.Accounts.CheckID(c.field("id"))
	if err != nil {
		return r, "", err
	}
	day, err := time.Parse(time.DateOnly, c.field("born"))
	if err != nil || day.Year() < oldest || day.After(c.Pool.Now()) {
		return r, "", accounts.Refuse("bad_born")
	}
	if err := c.Accounts.CheckLang(c.field("lang")); err != nil {
		return r, "", err
	}
	return accounts.Registration{Phone: n, Name: name, IDNumber: id, Lang: c.field("lang")}, day.Format(time.DateOnly), nil
}

// photo takes the form's picture; few at a time, for each takes much memory.
func (c *call) photo() ([]byte, error) {
	f, _, err := c.r.FormFile("photo")
	if err != nil {
		return nil, errPhoto
	}
	defer f.Close()
	if err := c.wait(); err != nil {
		return nil, err
	}
	defer func() { <-c.heavy }()
	return photoOf(f)
}

// wait takes a turn for something heavy.
func (c *call) wait() error {
	select {
	case c.heavy <- struct{}{}:
		return nil
	case <-c.r.Context().Done():
		return accounts.Refuse("busy")
	}
}

const (
	sqlNewPhoto = `
insert into id_photo (ref, file, customer, msisdn, born, till, operator, created_at)
values ($1, $2, $3, $4, $5::text::date, $6, $7, $8) on conflict (ref) do nothing`
	sqlRegistration = `select customer, msisdn from id_photo where ref = $1 and till = $2`
)

// keepFor keeps the photo and names it in the books of registrations.
func (c *call) keepFor(who accounts.Customer, token, born string, photo []byte) error {
	ctx := context.WithoutCancel(c.r.Context()) // the wallet is open; its paper belongs to it
	file, err := c.keep(photo)
	if err != nil {
		return err
	}
	var n int64
	err = c.Pool.InTx(ctx, func(tx *db.Tx) (err error) {
		n, err = tx.Exec(ctx, sqlNewPhoto, "portal:"+token, file, who.ID, string(who.Phone), born, c.operator.Till.Number, c.operator.ID, tx.Now)
		return err
	})
	switch {
	case errors.Is(err, db.ErrUnknown):
		return err // the row may stand: the file stays
	case err != nil:
		return errors.Join(fmt.Errorf("portal: an ID photo: %w", err), c.drop(file))
	case n == 0: // the same form, twice at once
		return c.drop(file)
	}
	return nil
}

type registration struct {
	token    string
	Customer int64        `db:"customer"`
	MSISDN   phone.Number `db:"msisdn"`
}

// registration is what a form of this till has registered; sql.ErrNoRows.
func (c *call) registration(token string) (registration, error) {
	r := registration{token: token}
	return r, c.Pool.Get(c.r.Context(), &r, sqlRegistration, "portal:"+token, c.operator.Till.Number)
}

func (c *call) registered() error {
	token := c.r.PathValue("token")
	if !isToken(token) {
		return c.notFound()
	}
	r, err := c.registration(token)
	if errors.Is(err, sql.ErrNoRows) {
		return c.notFound()
	}
	if err != nil {
		return fmt.Errorf("portal: a registration: %w", err)
	}
	who, err := c.Accounts.ByPhone(c.r.Context(), r.MSISDN)
	if err != nil && !errors.Is(err, accounts.ErrNoCustomer) {
		return err
	}
	if who.ID != r.Customer { // the number has moved on
		who = accounts.Customer{Phone: r.MSISDN}
	}
	return c.page(http.StatusOK, "registered", view{Title: "register", Say: c.t("registered"), Good: true, Data: who})
}
