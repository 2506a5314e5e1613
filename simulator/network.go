package simulator

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// How much the network remembers. The least recently used phones are forgotten first.
const (
	maxPhones    = 100_000
	maxInbox     = 200       // messages per phone, the newest
	maxInboxSize = 128 << 20 // bytes of message bodies, all phones together
	maxTopUps    = 100_000   // airtime references, the newest
	maxListed    = 1_000     // phones in one list
	maxWatchers  = 500       // event streams
	smsOverhead  = 200       // bytes a kept message costs beside its body
)

// Config says what the network is connected to.
type Config struct {
	USSDURL, EventsURL     string // the application, as in Line
	ServiceCode            string // like *334#
	SMSURL                 string // of the application, where messages to ShortCode go; empty: nobody takes them
	ShortCode              string // where phones send messages; empty: 22334
	TwilioSID, TwilioToken string // what the fake Twilio asks for, and signs messages with
	AirtimeToken           string // the bearer token that the fake airtime operator asks for
	PushToken              string // the bearer token for putting a screen on a phone; empty: nobody can
	CurrencySymbol         string // in the operator's own messages, like Ksh
	Now                    func() time.Time
	Rand                   io.Reader
	People                 []Person // shown as ready-made phones
	HTTPClient             *http.Client
	AnswerTimeout          time.Duration // the gateway's patience; 0 takes the real one
	Received               func(SMS)     // told of each message that a phone has got; must not wait. nil: nobody
	Kept                   int           // exchanges that a phone remembers; 0 takes 30
}

// Person is somebody whose phone the page offers.
type Person struct {
	Name   string `json:"name"`
	MSISDN string `json:"msisdn"`
	Note   string `json:"note"`
	PIN    string `json:"pin"`
	Role   string `json:"role,omitempty"` // till, merchant; empty: a customer
	Till   string `json:"till,omitempty"` // number of the till whose operator this is
}

// SMS is one message in a phone's inbox.
type SMS struct {
	ID       string    `json:"id"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Body     string    `json:"body"`
	At       time.Time `json:"at"`
	Segments int       `json:"segments"`
}

// Network is the mobile network with its phones, as an http.Handler for /simulator/ and /2010-04-01/.
type Network struct {
	config Config
	line   Line
	mux    *http.ServeMux
	topUps *topUps
	town   *Town
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex
	handsets map[string]*list.Element // of *handset
	recent   *list.List               // most recently used first
	size     int                      // bytes in all inboxes
	watchers map[*watcher]struct{}
}

// handset is a phone with its inbox. Network.mu guards everything but the phone itself.
type handset struct {
	phone *Phone
	on    bool  // somebody has looked at it; until then it has only got messages
	inbox []SMS // oldest first
	size  int
}

// NewNetwork checks the configuration and makes a network without messages.
func NewNetwork(c Config) (*Network, error) {
	line, err := Line{
		USSDURL: c.USSDURL, EventsURL: c.EventsURL, ServiceCode: c.ServiceCode, Now: c.Now, Rand: c.Rand,
		Client: c.HTTPClient, AnswerTimeout: c.AnswerTimeout, Kept: c.Kept,
	}.ready()
	if err != nil {
		return nil, err
	}
	if c.TwilioSID == "" || c.TwilioToken == "" || c.AirtimeToken == "" {
		return nil, errors.New("simulator: the network needs Twilio's sid and token and the airtime token")
	}
	if c.ShortCode == "" {
		c.ShortCode = defaultShortCode
	}
	people := make([]Person, len(c.People))
	for i, person := range c.People {
		if person.MSISDN, err = msisdn(person.MSISDN); err != nil {
			return nil, fmt.Errorf("simulator: %s: %w", person.Name, err)
		}
		people[i] = person
	}
	c.People = people
	n := &Network{
		config: c, line: line, topUps: newTopUps(), closed: make(chan struct{}),
		handsets: map[string]*list.Element{}, recent: list.New(), watchers: map[*watcher]struct{}{},
	}
	n.town = newTown(c.Now, n.line.Rand, people)
	n.mux = n.routes()
	return n, nil
}

// Close ends all event streams, which a server that shuts down would otherwise wait for.
func (n *Network) Close() { n.once.Do(func() { close(n.closed) }) }

// Town is the town that its phones make.
func (n *Network) Town() *Town { return n.town }

// Deliver puts a message into the inbox of the phone to (E.164) and shows it there.
func (n *Network) Deliver(m SMS) error {
	to, err := msisdn(m.To)
	if err != nil {
		return fmt.Errorf("simulator: deliver: %w", err)
	}
	m.To, m.At, m.Segments = to, n.config.Now().UTC(), segments(m.Body)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.handset(to)
	h.inbox = append(h.inbox, m)
	h.size += len(m.Body) + smsOverhead
	n.size += len(m.Body) + smsOverhead
	for len(h.inbox) > maxInbox {
		dropped := len(h.inbox[0].Body) + smsOverhead
		h.inbox[0] = SMS{}
		h.inbox, h.size, n.size = h.inbox[1:], h.size-dropped, n.size-dropped
	}
	n.forget()
	n.tell(to, "sms", m)
	n.town.got(to)
	if n.config.Received != nil {
		n.config.Received(m)
	}
	return nil
}

// Inbox is what the phone has received, oldest first.
func (n *Network) Inbox(number string) ([]SMS, error) {
	number, err := msisdn(number)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.handsets[number]
	if !ok {
		return []SMS{}, nil
	}
	return append([]SMS{}, e.Value.(*handset).inbox...), nil
}

// clear empties the phone's inbox.
func (n *Network) clear(number string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e, ok := n.handsets[number]; ok {
		h := e.Value.(*handset)
		n.size -= h.size
		h.inbox, h.size = nil, 0
	}
	n.tell(number, "cleared", struct{}{})
	n.town.cleared(number)
}

// Phone is the handset with that number; it is made when it is first asked for.
func (n *Network) Phone(number string) (*Phone, error) {
	number, err := msisdn(number)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.handset(number)
	h.on = true
	n.forget()
	return h.phone, nil
}

// handset finds or makes one and marks it as just used. Entered with mu held; number is in its one spelling.
func (n *Network) handset(number string) *handset {
	if e, ok := n.handsets[number]; ok {
		n.recent.MoveToFront(e)
		return e.Value.(*handset)
	}
	phone, err := newPhone(n.line, number, func(st State) {
		// The phone holds its own lock and may hold it while the network waits for it: never the other way round.
		n.mu.Lock()
		defer n.mu.Unlock()
		n.tell(number, "state", st)
		n.town.saw(number, st)
	})
	if err != nil {
		panic("simulator: a checked number was refused: " + err.Error())
	}
	h := &handset{phone: phone}
	n.handsets[number] = n.recent.PushFront(h)
	return h
}

// forget drops the least recently used phones until what is left fits. Entered with mu held.
func (n *Network) forget() {
	for n.recent.Len() > 1 && (n.recent.Len() > maxPhones || n.size > maxInboxSize) {
		h := n.recent.Remove(n.recent.Back()).(*handset)
		delete(n.handsets, h.phone.msisdn)
		n.size -= h.size
	}
}

// listing is one line of the list of phones.
type listing struct {
	Person
	SMS  int  `json:"sms"`
	Open bool `json:"open"`
}

// phones lists the people first, then the most recently used other phones.
func (n *Network) phones() []listing {
	n.mu.Lock()
	list, used := []listing{}, []*Phone{}
	known := map[string]bool{}
	for _, person := range n.config.People {
		known[person.MSISDN] = true
		l, phone := listing{Person: person}, (*Phone)(nil)
		if e, ok := n.handsets[person.MSISDN]; ok {
			l.SMS, phone = len(e.Value.(*handset).inbox), e.Value.(*handset).phone
		}
		list, used = append(list, l), append(used, phone)
	}
	for e := n.recent.Front(); e != nil && len(list) < maxListed; e = e.Next() {
		if h := e.Value.(*handset); !known[h.phone.msisdn] {
			list = append(list, listing{Person: n.town.who(h.phone.msisdn), SMS: len(h.inbox)})
			used = append(used, h.phone)
		}
	}
	n.mu.Unlock()
	for i, phone := range used { // a phone takes the network's lock under its own, so ours must be free here
		if phone != nil {
			list[i].Open = phone.State().Open
		}
	}
	return list
}
