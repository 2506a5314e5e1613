package portal

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
)

const sqlPhotoOf = `select file from id_photo where customer = $1 order by created_at desc limit 1`

// showPhoto gives staff the photo of a customer's document. It is the answer to a
// form and has no address: who looked, and why, stands in the log before it goes out.
func (c *call) showPhoto() error {
	ctx := c.r.Context()
	refused := func(err error) error {
		say, err := c.staffSays(err)
		if err != nil {
			return err
		}
		return c.lookUpPage(http.StatusUnprocessableEntity, say, lookUpForm{})
	}
	n, err := c.number("number")
	if err != nil {
		return refused(err)
	}
	reason, err := agents.CheckReason(c.field("reason"))
	if err != nil {
		return refused(err)
	}
	if err := c.Agents.MayStaff(ctx, c.staff, agents.ActPhotoView); err != nil {
		return refused(err)
	}
	who, err := c.Accounts.ByPhone(ctx, n)
	if err != nil {
		return refused(err)
	}
	var file string
	if err = c.Pool.Get(ctx, &file, sqlPhotoOf, who.ID); errors.Is(err, sql.ErrNoRows) || c.Photos == "" {
		return refused(accounts.Refuse("no_photo"))
	}
	if err != nil {
		return fmt.Errorf("portal: an ID photo: %w", err)
	}
	err = c.Pool.InTx(ctx, func(tx *db.Tx) error {
		return c.Agents.Log(ctx, tx, agents.LogEntry{Actor: c.actor(), Action: string(agents.ActPhotoView), Subject: "customer:" + strconv.FormatInt(who.ID, 10), Reason: reason})
	})
	if err != nil {
		return err
	}
	photo, err := c.readPhoto(file)
	if errors.Is(err, fs.ErrNotExist) {
		c.Log.Error("portal: an ID photo is not in its folder", "customer", who.ID)
		return refused(accounts.Refuse("no_photo"))
	}
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "image/jpeg") // the rest is said of every answer: no-store, nosniff
	h.Set("Content-Disposition", `inline; filename="id.jpg"`)
	h.Set("Content-Length", strconv.Itoa(len(photo)))
	c.w.Write(photo) // who does not take it has gone
	return nil
}

func (p *portal) readPhoto(name string) ([]byte, error) {
	root, err := os.OpenRoot(p.Photos)
	if err != nil {
		return nil, fmt.Errorf("portal: folder of ID photos: %w", err)
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("portal: an ID photo: %w", err)
	}
	defer f.Close()
	return io.ReadAll(f)
}
