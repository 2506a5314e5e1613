// Package people is a population at its phones: customers, merchants and the operators of tills, who register, pay,
// take cash in and out, mistype, hesitate, drop, dial again and forget their PINs, by the habits that mobile-money
// data show. It keeps its own account of everything it asked for and was told (History), which is what the service's
// books are to be compared with afterwards.
//
// It reaches the service by the public wires alone, through the phones of package simulator, reads screens as people
// do (phrases.go), and refuses to know the service's code, tables and clock.
package people

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"tuma/simulator"
)

// Limits of one country.
const (
	maxSessions  = 4000             // under way at a time; who comes then is not counted as a customer
	patience     = 15 * time.Second // of a gateway, for one answer
	maxHops      = 16               // keys pressed in one session
	registrars   = 16               // people who register at a time
	openingLimit = 5 * time.Minute  // for everybody to be registered and funded
)

// Options say what country to live in. Every field but Watch and Swap is required.
type Options struct {
	Network   *simulator.Network
	Customers int
	Tills     []Till // with their operators; the service's own people have set them up
	Seed      uint64
	Rate      float64       // sessions begun in a second, on the average of the day
	Speed     float64       // how much faster than people live: 1 is a person's pace
	Profile   Profile       // how the rate changes
	Duration  time.Duration // of the traffic, after everybody is registered and funded
	History   *History
	Watch     func(Event) // told of every attempt that ended; must not wait. nil: nobody
	Fraud     float64     // part of the sessions that are begun by somebody who is up to no good, and labelled in the history
	// Swap has the network tell the service that a number is on another SIM card. nil: no SIM is swapped.
	Swap func(ctx context.Context, number string) error
}

// Till is an agent's outlet, with the operator's phone.
type Till struct {
	Number   string // 100001
	Name     string
	Operator string // MSISDN
	PIN      string
}

// Event is one attempt that has ended, for whoever draws or counts.
type Event struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	From, To string
	Amount   int64   `json:"amount"` // minor units
	Outcome  Outcome `json:"outcome"`
	Reason   string  `json:"reason"` // of a refusal
	Code     string  `json:"code"`   // of the receipt
}

// Country is a population that is alive.
type Country struct {
	o      Options
	people []*Person // customers, merchants among them
	tills  []*Person // their operators
	dice   *dice
	tally  *Tally

	underWay atomic.Int64
	paused   atomic.Bool
}

// New makes the population, which depends on the seed alone. Nobody is registered yet.
func New(o Options) (*Country, error) {
	switch {
	case o.Network == nil || o.History == nil:
		return nil, errors.New("people: a network and a history are needed")
	case o.Customers < 2 || len(o.Tills) < 1:
		return nil, fmt.Errorf("people: %d customers and %d tills are too few: at least 2 and 1", o.Customers, len(o.Tills))
	case o.Rate <= 0 || o.Speed <= 0 || o.Duration <= 0:
		return nil, errors.New("people: rate, speed and duration must be above zero")
	case o.Fraud < 0 || o.Fraud > 1:
		return nil, errors.New("people: the part of fraud is from 0 to 1")
	case !o.Profile.known():
		return nil, fmt.Errorf("people: there is no profile %q", o.Profile)
	}
	c := &Country{o: o, dice: newDice(o.Seed), tally: newTally()}
	return c, c.populate()
}

// Tally is what has happened so far.
func (c *Country) Tally() *Tally { return c.tally }

// People lists everybody, for whoever draws them: customers, then operators.
func (c *Country) People() []*Person { return append(append([]*Person{}, c.people...), c.tills...) }

// Open registers everybody who is not, by phone, and brings them their first money at the tills. Progress is told by
// how many of how many are done.
func (c *Country) Open(ctx context.Context, progress func(done, all int)) error {
	ctx, cancel := context.WithTimeout(ctx, max(openingLimit, time.Duration(len(c.people))*50*time.Millisecond))
	defer cancel()
	work := make(chan *Person)
	failed := make(chan error, registrars)
	var done atomic.Int64
	var busy sync.WaitGroup
	for range registrars {
		busy.Go(func() {
			for p := range work {
				if err := c.welcome(ctx, p); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
				progress(int(done.Add(1)), len(c.people))
			}
		})
	}
	for _, p := range c.people {
		select {
		case work <- p:
		case <-ctx.Done():
		}
	}
	close(work)
	busy.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

// Live lets people begin sessions at the profile's rate until the duration is over or ctx ends, waits for what is
// under way, and asks again about what is unknown.
func (c *Country) Live(ctx context.Context) error {
	began := time.Now()
	c.tally.begin(began)
	var people sync.WaitGroup
	for {
		elapsed := time.Since(began)
		if elapsed >= c.o.Duration || ctx.Err() != nil {
			break
		}
		rate := c.o.Rate * c.o.Profile.at(float64(elapsed)/float64(c.o.Duration))
		pause := time.Duration(c.dice.exponential() / rate * float64(time.Second))
		select {
		case <-time.After(min(pause, c.o.Duration-elapsed)):
		case <-ctx.Done():
		}
		if c.paused.Load() || ctx.Err() != nil || time.Since(began) >= c.o.Duration {
			continue
		}
		if c.underWay.Load() >= maxSessions {
			c.tally.crowded.Add(1)
			continue
		}
		c.underWay.Add(1)
		people.Go(func() {
			defer c.underWay.Add(-1)
			c.errand(context.WithoutCancel(ctx))
		})
	}
	people.Wait()
	return nil
}

// Hold stops people from beginning sessions until it is called with false, and Busy tells how many are in one: so
// that everything can come to rest while it is compared.
func (c *Country) Hold(on bool) { c.paused.Store(on) }

// Busy tells how many people are in a session.
func (c *Country) Busy() int { return int(c.underWay.Load()) }

// dice are a seeded source that many goroutines may use.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, 334))} }

func (d *dice) intN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) chance(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < p
}

func (d *dice) exponential() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.ExpFloat64()
}

// rank draws a place under n, the first ones far more often: with a weight of 1/(place+1).
func (d *dice) rank(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(zipf(d.r.Float64(), n))
}
