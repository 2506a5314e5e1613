package people

import (
	"fmt"
	"math"
	"sync"

	"tuma/simulator"
)

// Person is somebody with a phone. What stands here is what that person knows.
type Person struct {
	Number   string // MSISDN, +254...
	Name     string
	Lang     string // en, sw, fr
	ID       string // number of the ID document
	PIN      string
	Till     string // an operator's
	Merchant bool   // somebody whom many people pay
	Label    string // "" or what kind of fraud this person is about

	phone *simulator.Phone
	home  int // the till around the corner

	mu      sync.Mutex
	busy    bool  // with the phone in hand
	balance int64 // as last read, minor units
	tired   int   // sessions in a row that led to nothing
}

// take picks up the phone, if it is not in use.
func (p *Person) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return false
	}
	p.busy = true
	return true
}

func (p *Person) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
}

// knows notes a balance that was read; knowledge is what is remembered.
func (p *Person) knows(balance int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.balance = balance
}

func (p *Person) knowledge() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.balance
}

// State is what the phone shows.
func (p *Person) State() simulator.State { return p.phone.State() }

var (
	given  = [...]string{"Achieng", "Amina", "Asha", "Baraka", "Chausiku", "Daudi", "Esther", "Fatuma", "Grace", "Halima", "Imani", "Jean", "Juma", "Kamau", "Leila", "Marie", "Mwangi", "Neema", "Njeri", "Omari", "Pendo", "Rehema", "Salim", "Tatu", "Wanjiru", "Yusuf", "Zawadi", "Zuhura"}
	family = [...]string{"Abdalla", "Barasa", "Cheruiyot", "Dubois", "Gitau", "Hassan", "Kariuki", "Kimani", "Kiptoo", "Kone", "Lusweti", "Maina", "Mboya", "Mutua", "Mwinyi", "Nyambura", "Ochieng", "Odhiambo", "Okello", "Otieno", "Said", "Simiyu", "Wafula", "Waweru"}
)

// One customer in so many is a merchant's stand-in, whom the others pay.
const customersPerMerchant = 40

// populate makes everybody. The same seed makes the same people.
func (c *Country) populate() error {
	d := c.dice
	for i := range c.o.Customers {
		p := &Person{
			Number: fmt.Sprintf("+2547100%05d", i), ID: fmt.Sprintf("%08d", 31_000_000+i),
			Name: given[d.intN(len(given))] + " " + family[d.intN(len(family))], Lang: [...]string{"sw", "sw", "sw", "sw", "sw", "en", "en", "en", "en", "fr"}[d.intN(10)],
			PIN: d.pin(), Merchant: i%customersPerMerchant == 0, home: d.rank(len(c.o.Tills)),
		}
		if i >= 100_000 {
			p.Number = fmt.Sprintf("+25479%07d", i)
		}
		c.people = append(c.people, p)
	}
	for i, t := range c.o.Tills {
		c.tills = append(c.tills, &Person{Number: t.Operator, Name: t.Name, Lang: "en", PIN: t.PIN, Till: t.Number, home: i})
	}
	for _, p := range c.People() {
		phone, err := c.o.Network.Phone(p.Number)
		if err != nil {
			return fmt.Errorf("people: %s: %w", p.Number, err)
		}
		p.phone = phone
	}
	if c.o.Fraud > 0 {
		c.recruit()
	}
	return nil
}

// pin is one that no service calls weak: four different digits that do not go up or down by one, nor begin like a year.
func (d *dice) pin() string {
	for {
		n := d.intN(10_000)
		p := fmt.Sprintf("%04d", n)
		steps := [3]int{int(p[1]) - int(p[0]), int(p[2]) - int(p[1]), int(p[3]) - int(p[2])}
		different := p[0] != p[1] && p[0] != p[2] && p[0] != p[3] && p[1] != p[2] && p[1] != p[3] && p[2] != p[3]
		if different && steps[0] != steps[1] && steps[1] != steps[2] && p[:2] != "19" && p[:2] != "20" {
			return p
		}
	}
}

// zipf turns a number under 1 into a place under n, by weights 1/(place+1): the harmonic sum grows as the logarithm.
func zipf(u float64, n int) float64 {
	return min(math.Exp(u*math.Log(float64(n)+1))-1, float64(n-1))
}

// merchant is one whom people pay: a few get most of it.
func (c *Country) merchant() *Person {
	n := (len(c.people) + customersPerMerchant - 1) / customersPerMerchant
	return c.people[c.dice.rank(n)*customersPerMerchant]
}

// friend is somebody else, near in the list of people: everybody has a few.
func (c *Country) friend(of int) *Person {
	n := len(c.people)
	return c.people[(of+1+c.dice.intN(min(20, n-1)))%n]
}
