package main

import (
	"errors"
	"fmt"
	"html/template"
	"os"
)

// chart draws what a bench measured, one point a second, as an SVG that stands
// alone.
var chart = template.Must(template.New("chart").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 460" font-family="sans-serif" font-size="13">
<rect width="900" height="460" fill="white"/>
<text x="60" y="24" font-size="16">{{.Title}}</text>
{{range .Panels}}<g transform="translate(60 {{.Top}})">
<text x="0" y="-8">{{.Name}} (highest {{.Highest}})</text>
<rect width="820" height="160" fill="none" stroke="#bbb"/>
{{range .Lines}}<polyline fill="none" stroke="{{.Colour}}" stroke-width="2" points="{{.Points}}"/><text x="{{.LabelX}}" y="176" fill="{{.Colour}}">{{.Name}}</text>
{{end}}</g>{{end}}
</svg>
`))

type chartPanel struct {
	Name, Highest string
	Top           int
	Lines         []chartLine
}

type chartLine struct {
	Name, Colour, Points string
	LabelX               int
}

func (l *postLoad) plot(path string) (err error) {
	var rate, p50, p99 []float64
	for _, s := range l.seconds {
		rate = append(rate, float64(s.payments))
		p50 = append(p50, s.p50)
		p99 = append(p99, s.p99)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	top, slow := highest(rate), max(highest(p50), highest(p99))
	return chart.Execute(f, map[string]any{
		"Title": fmt.Sprintf("%d callers, %d wallets, %d%% of payments to one payee", l.Callers, l.Accounts, l.Hot),
		"Panels": []chartPanel{
			{Name: "payments per second", Highest: fmt.Sprintf("%.0f", top), Top: 60, Lines: []chartLine{{"payments/s", "#1864ab", points(rate, top), 0}}},
			{Name: "milliseconds", Highest: fmt.Sprintf("%.1f", slow), Top: 270, Lines: []chartLine{{"p50", "#2b8a3e", points(p50, slow), 0}, {"p99", "#c92a2a", points(p99, slow), 60}}},
		},
	})
}

func highest(values []float64) (top float64) {
	for _, v := range values {
		top = max(top, v)
	}
	return top
}

func points(values []float64, top float64) (s string) {
	for i, v := range values {
		s += fmt.Sprintf("%.1f,%.1f ", 820*float64(i)/float64(max(1, len(values)-1)), 160-160*v/max(top, 1e-9))
	}
	return s
}
