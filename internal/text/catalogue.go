package text

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Catalogue is one family of texts (screens, notices) in several languages,
// each text under the same name in all of them. It does not change once it is
// parsed and may be read from many goroutines.
type Catalogue struct {
	languages map[string]map[string]Text
	templates map[string]map[string]template
}

// Text is one entry of a catalogue: a short label (what a menu line that leads
// there says; may be empty) and a body of one or more lines.
type Text struct {
	Label, Body string
}

// maxFile bounds one language's file, in bytes.
const maxFile = 1 << 20

var (
	headerPattern   = regexp.MustCompile(`^\[([a-z0-9][a-z0-9_.-]*)\](?: (.*))?$`)
	languagePattern = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]+)?$`)
)

// ParseCatalogue reads every <lang>.txt of a directory. A file is a list of
// blocks:
//
//	# comments, before the first block only
//	[send.done] Label of the text
//	Body, with a {hole},
//	to the next header.
//
// A header starts at the margin; its label is optional. Empty lines at the end
// of a body are dropped, those inside are kept. A broken file is an error with
// its name and line: a name twice, a header that is none, a brace that does
// not make a hole, text before the first header, bytes that are not UTF-8.
func ParseCatalogue(fsys fs.FS, dir string) (*Catalogue, error) {
	files, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	c := &Catalogue{languages: map[string]map[string]Text{}, templates: map[string]map[string]template{}}
	for _, f := range files {
		lang, isText := strings.CutSuffix(f.Name(), ".txt")
		if !isText || f.IsDir() {
			continue
		}
		name := path.Join(dir, f.Name())
		if !languagePattern.MatchString(lang) {
			return nil, fmt.Errorf("text: %s: not named after a language", name)
		}
		info, err := f.Info()
		if err != nil {
			return nil, fmt.Errorf("text: %w", err)
		}
		if info.Size() > maxFile {
			return nil, fmt.Errorf("text: %s: larger than %d bytes", name, maxFile)
		}
		raw, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("text: %w", err)
		}
		if c.languages[lang], err = parseFile(string(raw)); err != nil {
			return nil, fmt.Errorf("text: %s:%w", name, err)
		}
		c.templates[lang] = map[string]template{}
		for name, t := range c.languages[lang] {
			c.templates[lang][name] = pieces(t.Body)
		}
	}
	if len(c.languages) == 0 {
		return nil, fmt.Errorf("text: no <language>.txt in %s", dir)
	}
	return c, nil
}

// parseFile reads one language. Its errors start with the line number.
func parseFile(raw string) (map[string]Text, error) {
	if !utf8.ValidString(raw) {
		return nil, errors.New("1: not UTF-8")
	}
	raw = strings.TrimPrefix(raw, "\uFEFF")
	texts := map[string]Text{}
	var name, label string
	var body []string
	keep := func() {
		if name == "" {
			return
		}
		for len(body) > 0 && strings.TrimSpace(body[len(body)-1]) == "" {
			body = body[:len(body)-1]
		}
		texts[name] = Text{Label: label, Body: strings.Join(body, "\n")}
		body = nil
	}
	lines := bufio.NewScanner(strings.NewReader(raw))
	lines.Buffer(nil, maxFile+1)
	number := 0
	for lines.Scan() {
		number++
		line := lines.Text()
		if strings.HasPrefix(line, "[") {
			m := headerPattern.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("%d: a line at the margin with [ must be [name] Label", number)
			}
			keep()
			name, label = m[1], m[2]
			if _, twice := texts[name]; twice {
				return nil, fmt.Errorf("%d: [%s] is there twice", number, name)
			}
		} else if name == "" {
			if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
				return nil, fmt.Errorf("%d: text before the first [name]", number)
			}
			continue
		} else {
			body = append(body, line)
		}
		if strings.ContainsAny(holePattern.ReplaceAllString(line, ""), "{}") {
			return nil, fmt.Errorf("%d: a brace that is not part of a {hole}", number)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", number+1, err)
	}
	keep()
	return texts, nil
}

// Languages lists the languages, sorted.
func (c *Catalogue) Languages() []string {
	return slices.Sorted(maps.Keys(c.languages))
}

// Names lists the names that any language has, sorted.
func (c *Catalogue) Names() []string {
	all := map[string]bool{}
	for _, texts := range c.languages {
		for name := range texts {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Text is the text under a name in exactly this language.
func (c *Catalogue) Text(lang, name string) (Text, bool) {
	t, ok := c.languages[lang][name]
	return t, ok
}

// Fill is the body under a name in exactly this language with its holes
// filled. An unknown name and a hole without a value are errors.
func (c *Catalogue) Fill(lang, name string, h Holes) (string, error) {
	t, ok := c.templates[lang][name]
	if !ok {
		return "", fmt.Errorf("text: no [%s] in language %.16q", name, lang)
	}
	filled, err := t.fill(h)
	if err != nil {
		return "", fmt.Errorf("%w in [%s] of %s", err, name, lang)
	}
	return filled, nil
}
