package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tuma/internal/text"
	"tuma/sms"
	"tuma/ussd"
	"tuma/ussd/dialogues"

	"tuma/internal/phone"
)

// texts has the service take a message as a gateway's webhook hands it over.
func (b *bank) texts(ctx context.Context, number, body string) error {
	return b.service.inbox.Receive(ctx, sms.Inbound{Gateway: "test", ID: fmt.Sprint(b.messages.Add(1)), From: phone.Number(number), To: "22334", Text: body})
}

func TestDialoguesBySMS(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	files, err := filepath.Glob("../../sms/dialogues/*.txt")
	b.must(err)
	if len(files) == 0 {
		t.Fatal("no dialogues")
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		b.must(err)
		script, err := dialogues.Parse(filepath.Base(file), string(raw))
		b.must(err)
		stage := &dialogues.Remote{BaseURL: b.url, Client: impatient, ServiceCode: "*334#", Rand: rand.Reader, Patience: 10 * time.Second}
		p, err := dialogues.Play(t.Context(), script, stage, dialogues.Options{ServiceCode: "*334#", Loose: true})
		switch {
		case errors.Is(err, dialogues.ErrOnlyInside):
			t.Errorf("%v", err)
		case err != nil:
			t.Errorf("%v\n%s", err, b.log)
		case p.Diff != "":
			t.Errorf("- the file, + the service:\n%s", p.Diff)
		}
	}
}

// The menu's words for refusals fit into an answer by SMS, with their widest
// values.
func TestRefusalsFitAnAnswer(t *testing.T) {
	t.Parallel()
	words, err := ussd.Words()
	if err != nil {
		t.Fatal(err)
	}
	const before = "Haikufanyika. " // the longest of [answer.refused]
	wide := text.Holes{"number": "+255712000001", "min": "Ksh250,000.00", "max": "Ksh250,000.00", "left": "Ksh500,000.00", "balance": "Ksh500,000.00",
		"care": "0800 721 000", "brand": "Kwacha", "service": "*334#"}
	for _, lang := range words.Languages() {
		for _, key := range sms.Refusals {
			body, err := words.Fill(lang, "refusal."+key, wide)
			if err != nil {
				t.Errorf("%s [%s]: %v", lang, key, err)
				continue
			}
			if n, ok := text.Septets(before + strings.ReplaceAll(body, "\n", " ")); n > 160 || !ok {
				t.Errorf("%s [%s] has %d septets", lang, key, n)
			}
		}
	}
}
