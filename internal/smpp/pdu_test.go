package smpp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Units from their raw bytes and back.
func TestUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, hex string
		want      PDU
	}{
		{"bind_transceiver", "0000002f 00000009 00000000 00000001 534d50503354455354 00 7365637265743038 00 5355424d495431 00 34 01 01 00",
			PDU{Command: BindTransceiver, Sequence: 1, Bind: &Bind{SystemID: "SMPP3TEST", Password: "secret08", SystemType: "SUBMIT1", Version: 0x34, Range: Address{1, 1, ""}}}},
		{"bind_transceiver_resp", "0000001d 80000009 00000000 00000001 534d534300 0210 0004 aabbccdd",
			PDU{Command: BindTransceiver.Response(), Sequence: 1, ID: "SMSC", TLVs: []TLV{{0x0210, []byte{0xaa, 0xbb, 0xcc, 0xdd}}}}},
		{"a refused bind without a body", "00000010 80000009 0000000e 00000001", PDU{Command: BindTransceiver.Response(), Status: InvalidPassword, Sequence: 1}},
		{"submit_sm", "0000003a 00000004 00000000 00000005 00 0500 54756d6100 0101 32353437313200 40 00 00 00 00 01 00 00 00 03 414243 0501 0001 02 1383 0002 0102",
			PDU{Command: SubmitSM, Sequence: 5, Message: &Message{Source: Address{5, 0, "Tuma"}, Dest: Address{1, 1, "254712"}, ESMClass: 0x40, Registered: 1, Body: []byte("ABC"),
				TLVs: []TLV{{TagUSSDServiceOp, []byte{2}}, {TagITSSessionInfo, []byte{1, 2}}}}}},
		{"submit_sm_resp", "00000014 80000004 00000000 00000005 61626300", PDU{Command: SubmitSM.Response(), Sequence: 5, ID: "abc"}},
		{"enquire_link", "00000010 00000015 00000000 00000007", PDU{Command: EnquireLink, Sequence: 7}},
		{"unbind", "00000010 00000006 00000000 00000008", PDU{Command: Unbind, Sequence: 8}},
		{"generic_nack", "00000010 80000000 00000003 00000009", PDU{Command: GenericNack, Status: InvalidCommand, Sequence: 9}},
	} {
		b := unhex(t, c.hex)
		binary.BigEndian.PutUint32(b, uint32(len(b)))
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		back, err := c.want.Encode()
		if len(b) == headerLength && len(back) == headerLength+1 {
			back = back[:headerLength] // an empty id is written, and need not be read
			binary.BigEndian.PutUint32(back, headerLength)
		}
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%s: %x %v, want %x", c.name, back, err, b)
		}
	}
}

// A long message goes into a TLV and comes back from there.
func TestLongMessage(t *testing.T) {
	t.Parallel()
	m := Message{Body: bytes.Repeat([]byte{'x'}, 300), TLVs: []TLV{{1, []byte{2}}}}
	b, err := PDU{Command: DeliverSM, Message: &m}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(b)
	if err != nil || !bytes.Equal(p.Message.Body, m.Body) || len(p.Message.TLVs) != 1 {
		t.Errorf("%+v %v", p.Message, err)
	}
}

func TestMalformedUnits(t *testing.T) {
	t.Parallel()
	for _, h := range []string{
		"", "00", "00000011 00000015 00000000 00000001", // lengths that lie
		"0000000f 00000015 00000000 000000",
		"00000012 00000009 00000000 00000001 6161",                             // no end of the string
		"00000014 80000004 00000000 00000001 61 00 0001",                       // half a TLV
		"00000017 80000004 00000000 00000001 00 0001 0009 6161",                // a TLV longer than the unit
		"00000030 00000005 00000000 00000001" + strings.Repeat("61", 32),       // a service type without end
		"00000022 00000005 00000000 00000001 00000000000000000000000000000000", // cut short
	} {
		b := unhex(t, h)
		if p, err := Decode(b); err == nil {
			t.Errorf("%x was read: %+v", b, p)
		}
	}
	for _, p := range []PDU{
		{Command: SubmitSM}, {Command: BindTransceiver},
		{Command: BindTransceiver, Bind: &Bind{SystemID: "sixteen letters!"}},
		{Command: SubmitSM, Message: &Message{ServiceType: "a\x00b"}},
		{Command: SubmitSM, Message: &Message{TLVs: make([]TLV, 65)}},
		{Command: SubmitSM, Message: &Message{Body: make([]byte, 70_000)}},
	} {
		if b, err := p.Encode(); err == nil {
			t.Errorf("%+v was written: %d bytes", p, len(b))
		}
	}
	if _, err := Read(bytes.NewReader(unhex(t, "7fffffff 00000015"))); !errors.Is(err, ErrLength) {
		t.Errorf("two gigabytes were made room for: %v", err)
	}
}

// size is what a unit holds beside its fixed fields.
func size(p PDU) int {
	n := len(p.ID)
	tlvs := p.TLVs
	if p.Bind != nil {
		n += len(p.Bind.SystemID) + len(p.Bind.Password) + len(p.Bind.SystemType) + len(p.Bind.Range.Addr)
	}
	if m := p.Message; m != nil {
		n += len(m.ServiceType) + len(m.Source.Addr) + len(m.Dest.Addr) + len(m.Schedule) + len(m.Validity) + len(m.Body)
		tlvs = m.TLVs
	}
	for _, t := range tlvs {
		n += 4 + len(t.Value)
	}
	return n
}

// Whatever the bytes, decoding holds no more than it got, and what it
// understood is understood alike after writing it again.
func FuzzDecode(f *testing.F) {
	for _, h := range []string{
		"00000009 00000000 00000001 534d50503354455354 00 00 00 34 01 01 00",
		"00000004 00000000 00000005 00 0500 54756d6100 0101 32353437313200 40 00 00 00 00 01 00 00 00 03 414243 0501 0001 02 1383 0002 0102",
		"00000005 00000000 00000005 00 0500 54756d6100 0101 32353437313200 40 00 00 00 00 01 00 00 00 00 0424 0003 616263",
		"80000004 00000000 00000005 61626300", "80000000 00000003 00000009", "00000103 00000000 00000001 00",
	} {
		f.Add(unhex(f, h))
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		b := binary.BigEndian.AppendUint32(nil, uint32(4+len(rest)))
		b = append(b, rest...)
		p, err := Decode(b)
		if err != nil {
			return
		}
		if size(p) > len(b) || len(p.TLVs) > maxTLVs {
			t.Fatalf("%d bytes became %d", len(b), size(p))
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		q, err := Decode(again)
		if err != nil {
			t.Fatalf("cannot be read again: %v", err)
		}
		if diff := cmp.Diff(p, q, cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })); diff != "" {
			t.Fatal(diff)
		}
	})
}
