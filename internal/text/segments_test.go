package text

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// counter runs Twilio's own calculator: a JSON string on each line of its input,
// encoding and parts on each line of its output. It is told that a character is a
// character, and to remember its sums: it would take minutes for these texts, none
// of which holds characters that are joined to others.
const counter = `
const module_ = require("module"), load = module_._load;
module_._load = (name, ...rest) => name === "grapheme-splitter" ? { default: null } : load(name, ...rest);
require(process.argv[1] + "/dist/libs/textUtils.js").splitGraphemes = s => Array.from(s);
const { prototype } = require(process.argv[1] + "/dist/libs/Segment.js").default, size = prototype.sizeInBits;
prototype.sizeInBits = function () {
  const grown = this.length > 1 && this.counted === this.length - 1 && this.first === this[0];
  this.bits = grown ? this.bits + this[this.counted].sizeInBits() : size.call(this);
  this.counted = this.length;
  this.first = this[0];
  return this.bits;
};
const { SegmentedMessage } = require(process.argv[1]);
const lines = require("readline").createInterface({ input: process.stdin });
const out = [];
lines.on("line", line => {
  const m = new SegmentedMessage(JSON.parse(line));
  out.push(m.getEncodingName() + " " + m.segmentsCount);
});
lines.on("close", () => process.stdout.write(out.join("\n") + "\n"));
`

// texts for the calculator are made of these: mostly near the edges of parts.
// Left out are characters that join others and the form feed, which it takes for GSM 7-bit and we do not.
var alphabets = []string{
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:/@\n",
	basicAlphabet,
	extensionAlphabet,
	basicAlphabet + extensionAlphabet,
	"çêŵ’“”…\u00a0٣中文字ñà",
	"😀🎉𝒳𐍈a",
}

func sample(dice *rand.Rand) string {
	edges := []int{0, 0, 1, 10, 10, 20, 35, 67, 70, 70, 134, 140, 153, 160, 160, 201, 306}
	if dice.IntN(20) == 0 {
		edges = []int{320, 459, 612}
	}
	length := max(0, edges[dice.IntN(len(edges))]+dice.IntN(7)-3)
	var b strings.Builder
	plain, rare := []rune(alphabets[dice.IntN(3)]), []rune(alphabets[dice.IntN(len(alphabets))])
	odds := 1 + dice.IntN(60) // of a character from the second alphabet
	for range length {
		from := plain
		if dice.IntN(odds) == 0 && odds < 55 {
			from = rare
		}
		b.WriteRune(from[dice.IntN(len(from))])
	}
	return b.String()
}

// Our counts are those of the calculator that Twilio publishes, on 100,000 texts.
func TestSegmentsAgreeWithTwiliosCalculator(t *testing.T) {
	t.Parallel()
	module, err := filepath.Abs("../../.tools/node_modules/sms-segments-calculator")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(module); err != nil {
		t.Fatalf("%v; `make setup` fetches it", err)
	}
	const texts = 100_000
	dice := rand.New(rand.NewPCG(5, 334))
	list := make([]string, texts)
	var in bytes.Buffer
	for i := range list {
		list[i] = sample(dice)
		line, err := json.Marshal(list[i])
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.CommandContext(t.Context(), "node", "-e", counter, module)
	cmd.Stdin = &in
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v: %s", err, errors.String())
	}
	answers := bufio.NewScanner(bytes.NewReader(out))
	seen := map[string]int{}
	for _, s := range list {
		if !answers.Scan() {
			t.Fatal("too few answers")
		}
		encoding := "GSM-7"
		if _, ok := Septets(s); !ok {
			encoding = "UCS-2"
		}
		ours := encoding + " " + strconv.Itoa(Segments(s))
		seen[ours]++
		if ours != answers.Text() {
			t.Fatalf("%q: ours %s, theirs %s", s, ours, answers.Text())
		}
	}
	for _, kind := range []string{"GSM-7 1", "GSM-7 2", "GSM-7 3", "GSM-7 4", "UCS-2 1", "UCS-2 2", "UCS-2 5", "UCS-2 7"} {
		if seen[kind] < 100 {
			t.Errorf("only %d texts of %s", seen[kind], kind)
		}
	}
}
