package portal

import (
	"bytes"
	"encoding/csv"
	"net/http"
)

// csvFile answers with a table, whose cells no spreadsheet takes for formulas.
func (c *call) csvFile(name string, rows [][]string) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for _, row := range rows {
		for i, s := range row {
			if !isNumber(s) {
				row[i] = cell(s)
			}
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	return c.write(http.StatusOK, "text/csv; charset=utf-8", b.Bytes())
}

// isNumber tells whether a cell is a sign, digits and a point: that is a number
// to a spreadsheet, and no formula.
func isNumber(s string) bool {
	digits := false
	for i := range len(s) {
		switch {
		case s[i] >= '0' && s[i] <= '9':
			digits = true
		case s[i] == '-' && i == 0, s[i] == '.' && digits:
		default:
			return false
		}
	}
	return digits
}
