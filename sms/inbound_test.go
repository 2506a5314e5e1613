package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"tuma/accounts"
	"tuma/accounts/ledger"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/db/dbtest"
	"tuma/internal/money"
	"tuma/internal/phone"
	"tuma/internal/text"
)

var nairobi = time.FixedZone("EAT", 3*3600)

const (
	ashasPhone   = phone.Number("+254712000001")
	barakasPhone = phone.Number("+254712000002")
	shilling     = money.Amount(100)
)

// seeded is randomness that a test can repeat, for many goroutines.
type seeded struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

// desk is an inbox with the business behind it, on a database of its own, on a
// Sunday morning in Nairobi: asha and baraka are customers, and there is till
// 100001 with an operator.
type desk struct {
	*Inbox
	t            testing.TB
	pool         *db.Pool
	log          journal
	mu           sync.Mutex
	at           time.Time
	n            int
	asha, baraka accounts.Customer
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *desk) waits(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(by)
}

// refusalWords stand for the menu's.
func refusalWords(t testing.TB) *text.Catalogue {
	t.Helper()
	files := fstest.MapFS{}
	for _, lang := range []string{"en", "sw", "fr"} {
		var b strings.Builder
		for _, key := range Refusals {
			fmt.Fprintf(&b, "[refusal.%s]\n%s in %s\n", key, key, lang)
		}
		files["words/"+lang+".txt"] = &fstest.MapFile{Data: []byte(b.String())}
	}
	words, err := text.ParseCatalogue(files, "words")
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func newDesk(t testing.TB, change ...func(*accounts.Config)) *desk {
	t.Helper()
	d := &desk{t: t, at: time.Date(2026, 11, 22, 9, 15, 0, 0, nairobi)}
	d.pool = dbtest.New(t, d.now)
	country := kenya(t)
	tariff, err := accounts.ParseTariff(accounts.DefaultTariff(), country.Currency)
	d.must(err)
	random := &seeded{r: rand.NewChaCha8([32]byte{1})}
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	c := accounts.Config{
		Pool: d.pool, Country: country, Keys: accounts.Keys{Active: "k1", ByID: map[string][]byte{"k1": []byte("a key of sixteen bytes")}},
		ReceiptKey: []byte("a receipt key of tests"), Tariff: tariff, Rand: random, Log: log, Posters: 1,
	}
	for _, f := range change {
		f(&c)
	}
	a, err := accounts.New(t.Context(), c)
	d.must(err)
	t.Cleanup(a.Close)
	d.Inbox, err = NewInbox(InboxOptions{Pool: d.pool, Accounts: a, Agents: agents.New(d.pool, a, random), Refusals: refusalWords(t), Log: log})
	d.must(err)
	d.asha, d.baraka = d.customer(ashasPhone, "Asha Juma", "en"), d.customer(barakasPhone, "Baraka Otieno", "sw")
	_, err = d.agents.CreateAgent(t.Context(), "Mama Pima")
	d.must(err)
	_, err = d.agents.CreateTill(t.Context(), "Mama Pima", "Mama Pima Shop", "100001")
	d.must(err)
	d.must(d.agents.CreateOperator(t.Context(), agents.NewOperator{Till: "100001", Phone: "+254722000001", Name: "Juma Kamau", IDNumber: "24000001", Lang: "en", Role: "owner"}))
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) customer(n phone.Number, name, lang string) accounts.Customer {
	d.t.Helper()
	d.n++
	c, err := d.accounts.Register(d.t.Context(), accounts.Registration{
		Ref: fmt.Sprint("test:", d.n), Phone: n, Name: name, IDNumber: fmt.Sprintf("2345%04d", d.n), Lang: lang, Tier: accounts.TierFull,
	})
	d.must(err)
	return c
}

// gives puts money into a wallet behind the business's back.
func (d *desk) gives(c accounts.Customer, a money.Amount) {
	d.t.Helper()
	d.n++
	_, err := d.accounts.Book().Post(d.t.Context(), ledger.Entry{
		Ref: fmt.Sprint("give:", d.n), Kind: "test", Postings: []ledger.Posting{{Why: ledger.Principal, Debit: d.accounts.House().Trust, Credit: c.Wallet, Amount: a}},
	})
	d.must(err)
}

// texts sends a message and gives the answers that are owed since.
func (d *desk) texts(from phone.Number, body string) string {
	d.t.Helper()
	d.n++
	return d.owed(func() {
		d.must(d.Receive(d.t.Context(), Inbound{Gateway: "twilio", ID: fmt.Sprint("SM", d.n), From: from, To: "22334", Text: body}))
	}, from)
}

func (d *desk) owed(by func(), to phone.Number) string {
	d.t.Helper()
	var last int64
	d.must(d.pool.Get(d.t.Context(), &last, `select coalesce(max(id), 0) from every_notice`))
	by()
	var bodies []string
	d.must(d.pool.Select(d.t.Context(), &bodies, `select body from every_notice where id > $1 and to_msisdn = $2 order by id`, last, string(to)))
	return strings.Join(bodies, " | ")
}

func (d *desk) count(query string, args ...any) (n int) {
	d.t.Helper()
	d.must(d.pool.Get(d.t.Context(), &n, query, args...))
	return n
}

func (d *desk) wants(got, want string) {
	d.t.Helper()
	if got != want {
		d.t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestAMessageIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	in := Inbound{Gateway: "twilio", ID: "SM1", From: ashasPhone, To: "22334", Text: "BAL"}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := d.Receive(t.Context(), in); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	d.must(d.Receive(t.Context(), in))
	in.Gateway = "kannel" // another gateway's id is another message
	d.must(d.Receive(t.Context(), in))
	if n, told := d.count(`select count(*) from inbound`), d.count(`select count(*) from every_notice where body like 'Your Tuma balance%'`); n != 2 || told != 2 {
		t.Errorf("%d messages, %d answers", n, told)
	}
}

func TestWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for what, spoil := range map[string]func(*Inbound){
		"no gateway":   func(in *Inbound) { in.Gateway = "" },
		"no id":        func(in *Inbound) { in.ID = "" },
		"a long id":    func(in *Inbound) { in.ID = strings.Repeat("x", 81) },
		"a nul":        func(in *Inbound) { in.ID = "a\x00b" },
		"bad UTF-8":    func(in *Inbound) { in.To = "\xff" },
		"no sender":    func(in *Inbound) { in.From = "" },
		"a whole book": func(in *Inbound) { in.Text = strings.Repeat("x", 7000) },
	} {
		in := Inbound{Gateway: "twilio", ID: "SM1", From: ashasPhone, To: "22334", Text: "BAL"}
		spoil(&in)
		if err := d.Receive(t.Context(), in); !errors.Is(err, ErrBadInbound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := d.count(`select count(*) from inbound`); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.wants(d.texts(ashasPhone, "mini"), "There are no entries yet. Your Tuma balance is Ksh0.00.")
	d.gives(d.asha, 1000*shilling)
	done, err := d.accounts.Send(t.Context(), "pay", d.asha, barakasPhone, 500*shilling)
	d.must(err)
	d.wants(d.texts(ashasPhone, "Bal"), "Your Tuma balance is Ksh493.00 on 22/11/26 at 9:15 AM.")
	d.wants(d.texts(barakasPhone, "BAL"), "Salio lako la Tuma ni Ksh500.00 tarehe 22/11/26 saa 9:15 AM.") // his own language
	d.wants(d.texts(ashasPhone, "mini"), "22/11/26 -Ksh500.00 BARAKA O\n22/11/26 +Ksh1,000.00\nBalance Ksh493.00")
	d.wants(d.texts(ashasPhone, "check "+done.Code), done.Code+" is real: Ksh500.00 went out to BARAKA OTIENO on 22/11/26 at 9:15 AM.")
	d.wants(d.texts(barakasPhone, strings.ToLower(done.Code)), done.Code+" ni ya kweli: Ksh500.00 zilipokelewa kutoka kwa ASHA JUMA tarehe 22/11/26 saa 9:15 AM.")
	d.wants(d.texts(ashasPhone, "slaio"), "We did not understand. Did you mean this? Example: BAL. For all commands send MENU, or dial *334#.")
	d.wants(d.texts(ashasPhone, "what?"), "We did not understand. Send for example BAL or SEND 500 0712345678. For all commands send MENU, or dial *334#.")
	d.wants(d.texts(ashasPhone, "lang fr"), "Votre langue est maintenant le francais.")
	d.wants(d.texts(ashasPhone, "solde"), "Votre solde Tuma est de Ksh493.00 le 22/11/26 à 9:15 AM.")
	d.wants(d.texts(ashasPhone, "STOP"), "")
	d.wants(d.texts(ashasPhone, "send 5000 0712000002"), "Pas fait. insufficient in fr")
	d.wants(d.texts(ashasPhone, "send 50 0712000001"), "Pas fait. self in fr")
	d.wants(d.texts(ashasPhone, "send 50 0712000009"), "Pas fait. payee_unregistered in fr")
	d.wants(d.texts(ashasPhone, "withdraw 100 100009"), "Pas fait. till_unknown in fr")
	if n := d.count(`select count(*) from inbound where word = 'reserved'`); n != 1 {
		t.Errorf("%d of the carriers' words were noted", n)
	}
}

// Nothing that a message says moves money; what it asks for waits for the PIN,
// once for each message, and says the same to whoever sends it again.
func TestACommandAsksForThePIN(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	d.gives(d.asha, 5000*shilling)
	entries := d.count(`select count(*) from entry`)
	in := Inbound{Gateway: "twilio", ID: "SM-send", From: ashasPhone, To: "22334", Text: "SEND 500 0712000002"}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := d.Receive(ctx, in); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	const waits = "Send Ksh500.00 to 0712000002, fee Ksh7.00? Nothing is paid yet: dial *334#, choose 9 and confirm with your PIN within 24 hours."
	if n := d.count(`select count(*) from every_notice where body = $1`, waits); n != 1 {
		t.Errorf("%d answers", n)
	}
	d.wants(d.texts(ashasPhone, "tuma 500 0712000002"), waits) // another message, the same wish
	d.wants(d.texts(ashasPhone, "withdraw 1000 100001"), "Withdraw Ksh1,000.00 at 100001, fee Ksh29.00? Nothing is paid yet: dial *334#, choose 9 and confirm with your PIN within 24 hours.")
	d.wants(d.texts(ashasPhone, "airtime 50"), "Airtime Ksh50.00 for 0712000001, fee Ksh0.00? Nothing is paid yet: dial *334#, choose 9 and confirm with your PIN in 24 hours.")
	if n := d.count(`select count(*) from entry`); n != entries {
		t.Errorf("a message has made %d entries", n-entries)
	}
	waiting, err := d.accounts.Approvals(ctx, d.asha)
	d.must(err)
	if len(waiting) != 3 {
		t.Fatalf("%d approvals wait", len(waiting))
	}
	for _, a := range waiting {
		if !a.Own() || !strings.HasPrefix(a.Ref, "sms:twilio:SM") || a.Expires.Sub(a.At) != 24*time.Hour {
			t.Errorf("%+v", a)
		}
		for _, again := range []bool{false, true} {
			done, err := d.accounts.Approve(ctx, d.asha, a.ID)
			d.must(err)
			if done.Again != again || done.Amount != a.Amount || done.Fee != a.Fee {
				t.Errorf("approved %+v", done)
			}
		}
	}
	balance, err := d.accounts.Balance(ctx, d.asha)
	d.must(err)
	if want := (5000 - 507 - 1029 - 50) * shilling; balance != want {
		t.Errorf("asha has %d, want %d", balance, want)
	}
	// Delivered again after all that: answered and settled already.
	d.wants(d.owed(func() { d.must(d.Receive(ctx, in)) }, ashasPhone), "")
	breaks, err := accounts.Audit(ctx, d.pool)
	d.must(err)
	for _, x := range breaks {
		t.Errorf("audit: %s: %s", x.Check, x.What)
	}
}

// On a network that can push, the question is on the phone; unanswered it waits
// in the menu as long as any other.
func TestACommandIsPushed(t *testing.T) {
	t.Parallel()
	pushed := 0
	d := newDesk(t, func(c *accounts.Config) {
		c.Push = func(_ context.Context, a accounts.Approval) error {
			if pushed++; pushed > 1 {
				return errors.New("the phone is off")
			}
			return nil
		}
	})
	d.gives(d.asha, 5000*shilling)
	for _, amount := range []string{"500", "600"} {
		if got := d.texts(ashasPhone, "send "+amount+" 0712000002"); !strings.HasPrefix(got, "Send Ksh"+amount) || strings.Contains(got, "|") {
			t.Errorf("%s: %s", amount, got)
		}
	}
	d.waits(time.Hour)
	waiting, err := d.accounts.Approvals(t.Context(), d.asha)
	d.must(err)
	if len(waiting) != 2 || pushed != 2 {
		t.Errorf("%d wait, %d were pushed", len(waiting), pushed)
	}
}

func TestStrangersAreAnsweredOnceADay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const stranger = phone.Number("+254733000001")
	d.wants(d.texts(stranger, "salio"), "Namba hii haipo kwenye Tuma. Piga *334# kujisajili, au mwone wakala ukiwa na kitambulisho.")
	d.wants(d.texts(stranger, "BAL"), "")
	d.wants(d.texts(stranger, "SEND 500 0712000002"), "")
	d.waits(24 * time.Hour)
	d.wants(d.texts(stranger, "hallo"), "This number is not on Tuma. Dial *334# to register, or visit an agent with your ID.")
	d.wants(d.texts(stranger, "STOP"), "")
	if n := d.count(`select count(*) from inbound`); n != 5 {
		t.Errorf("%d messages were noted", n)
	}
}

func TestTooManyMessages(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for range messagesPerHour {
		if got := d.texts(ashasPhone, "menu"); !strings.HasPrefix(got, "BAL, MINI") {
			t.Fatal(got)
		}
	}
	d.wants(d.texts(ashasPhone, "menu"), "Too many messages. Please wait an hour, or dial *334#.")
	d.wants(d.texts(ashasPhone, "menu"), "")
	if got := d.texts(barakasPhone, "menu"); got == "" {
		t.Error("baraka pays for asha")
	}
	d.waits(time.Hour)
	if got := d.texts(ashasPhone, "menu"); !strings.HasPrefix(got, "BAL, MINI") {
		t.Error(got)
	}
}

func TestManyCommandsWait(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.gives(d.asha, 5000*shilling)
	for i := range openAsked {
		if got := d.texts(ashasPhone, fmt.Sprint("send ", 100+i, " 0712000002")); !strings.HasPrefix(got, "Send Ksh") {
			t.Fatal(got)
		}
	}
	d.wants(d.texts(ashasPhone, "send 200 0712000002"), "5 requests wait for you. Dial *334# and choose 9 to confirm or decline them, then ask again.")
	waiting, err := d.accounts.Approvals(t.Context(), d.asha)
	d.must(err)
	for _, a := range waiting {
		d.must(d.accounts.Decline(t.Context(), d.asha, a.ID))
	}
	if got := d.texts(ashasPhone, "send 200 0712000002"); !strings.HasPrefix(got, "Send Ksh200.00") {
		t.Error(got)
	}
	// Names of payees are as hard to collect as in the menu.
	d.waits(2 * time.Hour)
	for i := 0; d.count(`select count(*) from inbound where word = 'send'`) < sendsPerDay; i++ {
		if d.texts(ashasPhone, "send 1 0712000002"); i%10 == 0 {
			d.waits(2 * time.Hour)
		}
	}
	d.wants(d.texts(ashasPhone, "send 300 0712000002"), "Not done. lookups_spent in en")
}

// Whoever is no party of an entry learns nothing of it, and cannot go on asking.
func TestReceiptsAreToldToParties(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	chausiku := d.customer("+254712000003", "Chausiku Mwangi", "en")
	d.gives(d.asha, 1000*shilling)
	done, err := d.accounts.Send(t.Context(), "pay", d.asha, barakasPhone, 500*shilling)
	d.must(err)
	fake := done.Code[:9] + "Z"
	if fake == done.Code {
		fake = done.Code[:9] + "Y"
	}
	for _, code := range []string{done.Code, fake, "UKM2222222"} {
		d.wants(d.texts(chausiku.Phone, "check "+code), "Not done. no_receipt in en")
	}
	for i := 3; i < 10; i++ {
		_, err := d.accounts.CheckReceipt(t.Context(), chausiku, fake)
		if !accounts.Refused(err, "no_receipt") {
			t.Errorf("%d: %v", i, err)
		}
	}
	d.wants(d.texts(chausiku.Phone, "check "+done.Code), "Not done. checks_spent in en")
	var all sync.WaitGroup // nor by asking many at once
	for range 8 {
		all.Go(func() {
			if _, err := d.accounts.CheckReceipt(t.Context(), chausiku, fake); !accounts.Refused(err, "checks_spent") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for range 30 { // what is one's own does not count
		if _, err := d.accounts.CheckReceipt(t.Context(), d.baraka, done.Code); err != nil {
			t.Fatal(err)
		}
	}
	d.waits(24 * time.Hour)
	d.wants(d.texts(chausiku.Phone, "check "+done.Code), "Not done. no_receipt in en")
}

// A PIN is in no table and no log, whatever it came with, and its owner is told.
func TestPINsInMessages(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.gives(d.asha, 1000*shilling)
	const told = "Never send your PIN by SMS. Nothing was done. If the 4 digits were your PIN, change it now: dial *334#, My account, Change PIN."
	for _, s := range []string{"7391", "PIN 7391", "BAL 7391", "SEND 500 0712000002 7391", "send 7391 500 0712000002", "AIRTIME 50 ７３９１", "check 7 3 9 1"} {
		d.wants(d.texts(ashasPhone, s), told)
	}
	d.texts(ashasPhone, "my pin is7391 ok")
	d.texts("+254733000001", "BAL 7391") // a stranger's
	waiting, err := d.accounts.Approvals(t.Context(), d.asha)
	d.must(err)
	if len(waiting) != 0 {
		t.Errorf("%d approvals wait", len(waiting))
	}
	if n := d.count(`select count(*) from inbound i where i::text like '%7391%'`) + d.count(`select count(*) from every_notice n where n::text like '%7391%'`); n != 0 {
		t.Errorf("the PIN is in %d rows", n)
	}
	if log := strings.Join(d.log.lines(), ""); strings.Contains(log, "7391") || !strings.Contains(log, "command=pin") {
		t.Errorf("the log:\n%s", log)
	}
}

// Forwarding the confirmation moves nothing: the payer is asked for the PIN. With it
// what is still there is held, once; the payee's word gives it back.
func TestAConfirmationSentOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	d.gives(d.asha, 1000*shilling)
	done, err := d.accounts.Send(ctx, "pay", d.asha, barakasPhone, 500*shilling)
	d.must(err)
	forward := done.Code + " Confirmed. Ksh500.00 sent to BARAKA OTIENO 0712000002 on 22/11/26 at 9:15 AM."
	if got := d.texts(barakasPhone, forward); !strings.HasPrefix(got, done.Code+" ni ya kweli: Ksh500.00 zilipokelewa") { // who has got it wants to know whether it is true
		t.Error(got)
	}
	asked := done.Code + " is real. Want Ksh500.00 back from BARAKA OTIENO? Nothing is held yet: dial *334#, choose 9 and confirm with your PIN within 24 hours."
	d.wants(d.texts(ashasPhone, forward), asked)
	d.wants(d.texts(ashasPhone, "reverse "+done.Code), asked) // no second question
	if disputes, err := d.agents.Disputes(ctx, d.baraka); err != nil || len(disputes) != 0 {
		t.Errorf("held without the PIN: %+v, %v", disputes, err)
	}
	open, err := d.accounts.Approvals(ctx, d.asha)
	d.must(err)
	if len(open) != 1 || !open[0].Own() || open[0].Kind != "hold" {
		t.Fatalf("%+v", open)
	}
	_, err = d.accounts.Approve(ctx, d.asha, open[0].ID)
	d.must(err)
	d.wants(d.texts(ashasPhone, "reverse "+done.Code), "Ksh500.00 of "+done.Code+" is held already. We ask who has got it whether it may go back, and an SMS tells you what is decided.")
	disputes, err := d.agents.Disputes(ctx, d.baraka)
	d.must(err)
	if len(disputes) != 1 || disputes[0].From != ashasPhone {
		t.Fatalf("%+v", disputes)
	}
	d.must(d.agents.Agree(ctx, d.baraka, disputes[0].ID))
	if balance, err := d.accounts.Balance(ctx, d.asha); err != nil || balance != (1000-7)*shilling {
		t.Errorf("asha has %d, %v", balance, err)
	}
	d.wants(d.texts(ashasPhone, forward), "Not done. reverse_done in en")
	d.waits(25 * time.Hour)
	d.wants(d.texts("+254733000001", forward), "This number is not on Tuma. Dial *334# to register, or visit an agent with your ID.")
}
