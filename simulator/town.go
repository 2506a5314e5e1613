package simulator

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// How much the town shows.
const (
	maxTiles    = 300             // phones, the most active ones
	maxMoves    = 64              // movements of money that are remembered, the newest
	maxNews     = 100             // tiles in one piece of news; the others have their turn in the next
	maxGlance   = 160             // characters of a screen that a tile shows
	maxBroken   = 5               // faults that are over, the newest
	chosenFor   = 5 * time.Second // how long the same phones are shown
	activeTwice = 2               // how many times more active somebody must be to take another's place
)

// Move is money that went from one phone to another, or was to go. A number that is nobody's phone here is outside.
type Move struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Amount  string `json:"amount"`  // as people write it: Ksh500
	Outcome string `json:"outcome"` // paid, refused or unknown
}

// Figure is a number above the town: what is counted, and how much of it there is.
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Fault is something that a person who watches can break.
type Fault struct {
	Name string `json:"name"`
	What string `json:"what"`
}

// Town is many phones at a glance: what is on their screens, money that moves between them, and faults to do by hand.
// It shows what it is told; the network tells it of the phones, whoever runs the network of everything else. All
// methods may be called from several goroutines, and none waits for anybody.
type Town struct {
	now  func() time.Time
	rand io.Reader

	mu      sync.Mutex
	seq     int64 // counts changes
	day     string
	tiles   map[string]*tile
	order   []*tile // as they came
	shown   []*tile // at most maxTiles; each keeps its place
	cast    int64   // when shown was last changed, by seq
	stale   bool    // somebody came since
	chosen  time.Time
	moves   []kept[Move]
	figures kept[[]Figure]

	faults []Fault
	do     func(name string) error
	token  string
	broken kept[brokenNews]
}

// kept is something with the time of its change, by seq.
type kept[T any] struct {
	seq int64
	it  T
}

// tile is one phone at a glance. Town.mu guards it.
type tile struct {
	person  Person
	changed int64
	active  int // how much happened lately
	shown   bool
	glance  glance
}

// glance is what a tile shows.
type glance struct {
	MSISDN string `json:"msisdn"`
	Open   bool   `json:"open"`
	Screen string `json:"screen"`
	Error  string `json:"error,omitempty"`
	Last   string `json:"last,omitempty"` // outcome of the last payment, until the next session
	In     int    `json:"in"`             // payments of the day that brought something
	Out    int    `json:"out"`
	SMS    int    `json:"sms"`
}

// brokenNews is what is broken, what waits to be, and what was.
type brokenNews struct {
	Now     string      `json:"now"`
	Waiting []string    `json:"waiting"`
	Done    []brokenOne `json:"done"` // newest first
	Count   int         `json:"count"`
	began   time.Time
}

type brokenOne struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	MS   int64     `json:"ms"`
}

func newTown(now func() time.Time, rand io.Reader, people []Person) *Town {
	t := &Town{now: now, rand: rand, tiles: map[string]*tile{}}
	for _, p := range people {
		t.add(p)
	}
	return t
}

// Settle has more people live in the town.
func (t *Town) Settle(people ...Person) error {
	for i := range people {
		number, err := msisdn(people[i].MSISDN)
		if err != nil {
			return fmt.Errorf("simulator: %s: %w", people[i].Name, err)
		}
		people[i].MSISDN = number
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range people {
		t.add(p).person = p
	}
	t.stale = true
	return nil
}

// Offer lets whoever watches break something. do has it done, or says why not; it must not wait.
func (t *Town) Offer(faults []Fault, do func(name string) error) error {
	var token [16]byte
	if _, err := io.ReadFull(t.rand, token[:]); err != nil {
		return fmt.Errorf("simulator: no token for faults: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults, t.do, t.token = faults, do, hex.EncodeToString(token[:])
	return nil
}

// Moved tells of a payment that has ended, one way or another.
func (t *Town) Moved(m Move) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if day := t.now().Format(time.DateOnly); day != t.day {
		t.day = day
		t.seq++
		for _, x := range t.order {
			x.glance.In, x.glance.Out, x.changed = 0, 0, t.seq
		}
	}
	if from := t.tiles[m.From]; from != nil {
		t.touch(from)
		from.glance.Last = m.Outcome
		if m.Outcome == "paid" {
			from.glance.Out++
		}
	}
	if to := t.tiles[m.To]; to != nil && m.Outcome == "paid" {
		t.touch(to)
		to.glance.In++
		if !to.glance.Open {
			to.glance.Last = m.Outcome
		}
	}
	t.seq++
	if t.moves = append(t.moves, kept[Move]{t.seq, m}); len(t.moves) > maxMoves {
		t.moves = slices.Clone(t.moves[1:])
	}
}

// Tell says what the figures above the town are now.
func (t *Town) Tell(figures ...Figure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	t.figures = kept[[]Figure]{t.seq, figures}
}

// Broken tells that a fault has begun; name "" is that the one under way is over.
func (t *Town) Broken(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, now := t.broken.it, t.now()
	if b.Now != "" {
		done := append([]brokenOne{{b.Now, b.began.UTC(), now.Sub(b.began).Milliseconds()}}, b.Done...)
		b.Done = done[:min(len(done), maxBroken)]
		b.Count++
	}
	b.Now, b.began = name, now
	if i := slices.Index(b.Waiting, name); i >= 0 {
		b.Waiting = slices.Delete(slices.Clone(b.Waiting), i, i+1)
	}
	t.seq++
	t.broken = kept[brokenNews]{t.seq, b}
}

// ask has a fault done; known tells whether there is such a one.
func (t *Town) ask(name string) (known bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.ContainsFunc(t.faults, func(f Fault) bool { return f.Name == name }) {
		return false, nil
	}
	if err := t.do(name); err != nil {
		return true, err
	}
	t.seq++
	b := t.broken.it
	b.Waiting = append(slices.Clone(b.Waiting), name)
	t.broken = kept[brokenNews]{t.seq, b}
	return true, nil
}

// panel is what the page needs to offer faults.
func (t *Town) panel() (faults []Fault, token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.faults, t.token
}

// who is whoever has that number.
func (t *Town) who(number string) Person {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.tiles[number]; x != nil {
		return x.person
	}
	return Person{MSISDN: number}
}

// saw is a phone's news, told by the network with the phone's lock held.
func (t *Town) saw(number string, st State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.known(number)
	if x == nil {
		return
	}
	if st.Open && !x.glance.Open {
		x.glance.Last = ""
	}
	x.glance.Open, x.glance.Screen, x.glance.Error = st.Open, cut(st.Screen), cut(st.Error)
	t.touch(x)
}

// got is a message that a phone has got; cleared is its inbox emptied.
func (t *Town) got(number string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.known(number); x != nil {
		x.glance.SMS++
		t.touch(x)
	}
}

func (t *Town) cleared(number string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.tiles[number]; x != nil {
		x.glance.SMS = 0
		t.touch(x)
	}
}

// cut is the beginning of a screen, which says what it is about.
func cut(s string) string {
	if len(s) <= maxGlance {
		return s
	}
	runes := []rune(s)
	return string(runes[:min(len(runes), maxGlance)])
}

// Entered with mu held, from here on.

// known finds a phone, and takes in one that is new here while there is room.
func (t *Town) known(number string) *tile {
	if x := t.tiles[number]; x != nil {
		return x
	}
	if len(t.order) >= maxPhones {
		return nil
	}
	return t.add(Person{MSISDN: number})
}

func (t *Town) add(p Person) *tile {
	x := t.tiles[p.MSISDN]
	if x == nil {
		x = &tile{person: p, glance: glance{MSISDN: p.MSISDN}}
		t.tiles[p.MSISDN] = x
		t.order = append(t.order, x)
		t.stale = true
	}
	return x
}

func (t *Town) touch(x *tile) {
	t.seq++
	x.changed = t.seq
	x.active++
}

// choose picks whom to show: the most active ones, and tills before others where nothing says. Who is shown already
// stays in place unless somebody else is far more active.
func (t *Town) choose() {
	now, full := t.now(), len(t.shown) == maxTiles
	if d := now.Sub(t.chosen); full && d >= 0 && d < chosenFor || !t.stale && len(t.order) <= maxTiles {
		return
	}
	t.stale, t.chosen = false, now
	best := slices.Clone(t.order)
	weight := func(x *tile) int {
		if x.shown {
			return x.active*activeTwice + 1
		}
		return x.active
	}
	slices.SortStableFunc(best, func(a, b *tile) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(rank(a), rank(b)))
	})
	best = best[:min(len(best), maxTiles)]
	in := make(map[*tile]bool, len(best))
	var fresh []*tile
	for _, x := range best {
		in[x] = true
		if !x.shown {
			fresh = append(fresh, x)
		}
	}
	slices.SortStableFunc(fresh, func(a, b *tile) int { return cmp.Compare(rank(a), rank(b)) })
	for _, x := range t.order {
		x.active /= 2 // what was long ago counts less
	}
	if len(fresh) == 0 {
		return
	}
	t.seq++
	t.cast = t.seq
	for i, x := range t.shown {
		if !in[x] {
			x.shown = false
			t.shown[i], fresh = fresh[0], fresh[1:] // nobody goes unless somebody comes
		}
	}
	t.shown = append(t.shown, fresh...)
	for _, x := range t.shown {
		if !x.shown {
			x.shown, x.changed = true, t.seq
		}
	}
}

// rank puts tills before merchants before everybody else.
func rank(x *tile) int {
	switch x.person.Role {
	case "till":
		return 0
	case "merchant":
		return 1
	}
	return 2
}
