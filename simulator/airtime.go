package simulator

import (
	"container/list"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// topUpRequest is what a reseller asks the operator for.
type topUpRequest struct {
	Reference string `json:"reference"` // the reseller's own: the same one again is the same top-up
	MSISDN    string `json:"msisdn"`
	Amount    string `json:"amount"` // decimal, "50.00"
	Currency  string `json:"currency"`
}

// topUpDone is the operator's answer.
type topUpDone struct {
	Status string `json:"status"`
	ID     string `json:"id"`
}

// topUps remembers which references were topped up, the newest maxTopUps of them.
type topUps struct {
	mu    sync.Mutex
	done  map[string]*list.Element // of keptTopUp
	order *list.List               // newest first
}

type keptTopUp struct {
	request topUpRequest
	done    topUpDone
}

func newTopUps() *topUps { return &topUps{done: map[string]*list.Element{}, order: list.New()} }

// topUp is the operator's `POST /simulator/airtime/topup`: 200 done, 400 malformed, 401 without the token, 409 a
// reference used before for something else, 422 unknown subscriber (every number that ends in 9999).
func (n *Network) topUp(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !same(token, n.config.AirtimeToken) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="airtime"`)
		fail(w, http.StatusUnauthorized, "wrong or missing bearer token")
		return
	}
	var in topUpRequest
	if err := decode(r, &in); err != nil {
		status, tooLarge := http.StatusBadRequest, (*http.MaxBytesError)(nil)
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, err.Error())
		return
	}
	number, err := msisdn(in.MSISDN)
	amount, decimal := amountText(in.Amount)
	switch {
	case in.Reference == "" || len(in.Reference) > 64 || !printable(in.Reference):
		fail(w, http.StatusBadRequest, "reference: 1 to 64 printable characters")
	case err != nil:
		fail(w, http.StatusBadRequest, "msisdn: "+err.Error())
	case !decimal:
		fail(w, http.StatusBadRequest, "amount: a decimal string over zero, like 50.00")
	case len(in.Currency) != 3 || strings.Trim(in.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		fail(w, http.StatusBadRequest, "currency: three capital letters")
	case strings.HasSuffix(number, "9999"):
		fail(w, http.StatusUnprocessableEntity, "unknown subscriber")
	default:
		in.MSISDN, in.Amount = number, amount
		status, answer := n.topUpOnce(in)
		reply(w, status, answer)
	}
}

// topUpOnce does what was asked unless the reference is known, and says how to answer.
func (n *Network) topUpOnce(in topUpRequest) (status int, answer any) {
	t := n.topUps
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.done[in.Reference]; ok {
		kept := e.Value.(keptTopUp)
		if kept.request != in {
			return http.StatusConflict, problem{"this reference was used for another top-up"}
		}
		return http.StatusOK, kept.done
	}
	var id [8]byte
	if _, err := io.ReadFull(n.line.Rand, id[:]); err != nil {
		return http.StatusServiceUnavailable, problem{"try again"}
	}
	done := topUpDone{Status: "done", ID: "AT" + strings.ToUpper(hex.EncodeToString(id[:]))}
	body := "You have received " + n.config.CurrencySymbol + in.Amount + " airtime. Ref " + done.ID + ". Dial *144# to check your balance."
	if err := n.Deliver(SMS{ID: done.ID, From: "Airtime", To: in.MSISDN, Body: body}); err != nil {
		return http.StatusBadRequest, problem{err.Error()}
	}
	t.done[in.Reference] = t.order.PushFront(keptTopUp{in, done})
	if t.order.Len() > maxTopUps {
		oldest := t.order.Remove(t.order.Back()).(keptTopUp)
		delete(t.done, oldest.request.Reference)
	}
	return http.StatusOK, done
}

// amountText brings a decimal amount over zero to the form 1,234.50. It takes up to nine digits and two decimals.
func amountText(s string) (string, bool) {
	whole, cents, point := strings.Cut(s, ".")
	if len(whole) < 1 || len(whole) > 9 || (point && len(cents) < 1) || len(cents) > 2 {
		return "", false
	}
	if strings.Trim(whole+cents, "0123456789") != "" || strings.Trim(whole+cents, "0") == "" {
		return "", false
	}
	for len(cents) < 2 {
		cents += "0"
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + "." + cents, true
}
