package dialogues

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// looseness translates between a file and a stage on which people have other
// numbers and documents, receipts other codes and clocks another time.
type looseness struct {
	toStage, toScript   *strings.Replacer
	wantCodes, gotCodes map[string]string
}

func newLooseness(script, stage []Person) *looseness {
	var there, back []string
	for _, a := range script {
		i := slices.IndexFunc(stage, func(b Person) bool { return b.Handle == a.Handle })
		if i < 0 {
			continue
		}
		b := stage[i]
		for _, pair := range [][2]string{{a.Number, b.Number}, {a.National(), b.National()}, {a.IDNumber, b.IDNumber}} {
			if pair[0] != "" && pair[1] != "" && pair[0] != pair[1] {
				there, back = append(there, pair[0], pair[1]), append(back, pair[1], pair[0])
			}
		}
	}
	return &looseness{strings.NewReplacer(there...), strings.NewReplacer(back...), map[string]string{}, map[string]string{}}
}

// onStage translates what somebody keys in or writes; a receipt is the one that
// the service has given where the file has this one.
func (l *looseness) onStage(s string) string {
	s = codeShape.ReplaceAllStringFunc(s, func(code string) string {
		for real, receipt := range l.gotCodes {
			if receipt == l.wantCodes[code] {
				return real
			}
		}
		return code
	})
	return l.toStage.Replace(s)
}

// inScript translates what the service said.
func (l *looseness) inScript(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = l.toScript.Replace(line)
	}
	return out
}

var (
	// A receipt has ten characters: letters for year and month, a day, seven
	// more. A word of ten capitals looks the same and is numbered on both sides.
	codeShape = regexp.MustCompile(`\b[A-Z][A-L][1-9A-V][A-Z0-9]{7}\b`)
	dateShape = regexp.MustCompile(`\b[0-3]?[0-9]/[01]?[0-9](/[0-9]{2})?\b`)
	timeShape = regexp.MustCompile(`\b[01]?[0-9]:[0-5][0-9] [AP]M\b`)
)

// normal replaces receipts by the order in which they first came up, and dates
// and times by a sign for any.
func (l *looseness) normal(lines []string, codes map[string]string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		line = codeShape.ReplaceAllStringFunc(line, func(code string) string {
			if codes[code] == "" {
				codes[code] = fmt.Sprintf("<receipt %d>", len(codes)+1)
			}
			return codes[code]
		})
		out[i] = timeShape.ReplaceAllString(dateShape.ReplaceAllString(line, "<date>"), "<time>")
	}
	return out
}
