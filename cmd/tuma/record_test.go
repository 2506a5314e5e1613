package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tuma/simulator"
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
