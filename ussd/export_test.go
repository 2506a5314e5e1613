package ussd

import (
	"context"

	"tuma/internal/phone"
	"tuma/internal/smpp"
)

// Decode reads a body the way the handler of a dialect does, at one of its
// addresses, and writes its answer to a reply.
func Decode(name, path, body string) (r Request, say func(Reply) string, err error) {
	for _, d := range dialects() {
		if d.name != name {
			continue
		}
		for _, t := range d.tails {
			if t.path != path {
				continue
			}
			var fields map[string]string
			if len(d.accepts) == 0 || t.method == "GET" {
				fields, err = d.form(body, "the query is not well-formed")
			} else {
				fields, err = d.parse([]byte(body))
			}
			if err != nil {
				return Request{}, nil, err
			}
			c, err := t.decode(message{fields: fields, session: "s1", code: "*334#"})
			if err != nil {
				return Request{}, nil, err
			}
			c.Gateway = d.gateway
			say = func(r Reply) string {
				switch {
				case c.over:
					return c.told.body
				case c.asks:
					return c.state(!r.End).body
				}
				return c.reply(r).body
			}
			return c.Request, say, nil
		}
	}
	panic("no dialect " + name + " at " + path)
}

// Unit is what a delivery of a network over SMPP says.
type Unit struct {
	From    phone.Number
	Session string
	u       unit
}

// ReadUnit decodes a delivery, and UnitAnswer encodes the screen that answers it.
func ReadUnit(p Profile, country phone.Country, m smpp.Message) (Unit, error) {
	u, err := (&SMPP{o: SMPPOptions{Profile: p, Country: country}}).read(m)
	return Unit{u.from, u.session, u}, err
}

func UnitAnswer(p Profile, u Unit, r Reply) *smpp.Message {
	m := p.answer(u.u.back, u.u.info, r)
	return &m
}

// Bound tells whether the connection stands.
func (s *SMPP) Bound() bool { return s.client.Bound() }

// StoredLine is the line of a session as Redis has it, and how one of the same
// session begins.
func StoredLine(id string) (stored, own string, err error) {
	h := &held{id: id, session: &session{ServiceCode: "*334#"}}
	b, err := h.lineWith(nil)
	return string(b), string(ownLine(b)), err
}

// FillRoom takes every place in a machine's room and has somebody wait in vain;
// leave gives the places back.
func (m *Machine) FillRoom() (leave func()) {
	r := m.room
	all := []chan struct{}{r.dials, r.steps}
	for _, places := range all {
		for range cap(places) {
			places <- struct{}{}
		}
	}
	r.take(context.Background(), r.dials, false)
	return func() {
		for _, places := range all {
			for range cap(places) {
				<-places
			}
		}
	}
}
