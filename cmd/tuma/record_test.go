package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tuma/simulator"
	"tuma/ussd/dialogues"
)

// What a phone in the terminal records is a dialogue that plays.
func TestARecordingPlays(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	var record strings.Builder
	err := simulator.RunTerminal(t.Context(), simulator.TerminalOptions{
		In: strings.NewReader("*334#\n4\n5\n*334*1*0712000002#\n00\n"), Out: &strings.Builder{}, Record: &record, MSISDN: demoCustomers[0].number, RecordName: "asha",
		USSDURL: b.url + "/ussd/africastalking", EventsURL: b.url + "/ussd/africastalking/events", ServiceCode: "*334#", Now: b.clock.now, Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "recorded.txt")
	// Who plays it has no money yet; Asha had.
	if err := os.WriteFile(file, []byte("asha has 1000.00\n"+record.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"play", "--url", b.url, file}); code != 0 {
		t.Errorf("playing it ended with %d", code)
	}
}

// A recording begins with whoever it is about, so that it can be read back.
func TestRecordedAs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ msisdn, name, handle, cast string }{
		{"+254712000001", "", "asha", ""},
		{"254722000001", "", "juma", ""},
		{"+254712000002", "baraka", "baraka", ""},
		{"+254733000009", "", "caller", "cast caller stranger +254733000009\n"},
		{"254733000009", "peter", "peter", "cast peter stranger +254733000009\n"},
	} {
		handle, cast := recordedAs(c.msisdn, c.name)
		if handle != c.handle || cast != c.cast {
			t.Errorf("%s %q: %q %q", c.msisdn, c.name, handle, cast)
		}
		if _, err := dialogues.Parse("recorded.txt", cast+handle+" dials *334#\n"); err != nil {
			t.Error(err)
		}
	}
}

// A dialogue in which nobody does anything would always be right.
func TestPlayRefusesAnEmptyDialogue(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(file, []byte("# nothing yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"play", "--url", startBank(t).url, file}); code == 0 {
		t.Error("an empty dialogue was played")
	}
}
