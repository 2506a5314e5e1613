package simulator

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"
)

//go:embed page
var pageFiles embed.FS

// pageKinds are the files of the page; nothing else is served.
var pageKinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// pagePolicy lets the page load only what this server serves, and run no script or style written into it.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// servePage is the page with the phones. It is the same for everybody but for the service code.
func (n *Network) servePage(w http.ResponseWriter, _ *http.Request) {
	n.draw(w, "index.html", map[string]any{"ServiceCode": n.config.ServiceCode, "ShortCode": n.config.ShortCode, "PatienceMS": n.line.AnswerTimeout.Milliseconds()})
}

// draw answers with a page.
func (n *Network) draw(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	page, err := template.ParseFS(pageFiles, "page/"+name)
	if err == nil {
		err = page.Execute(&b, data)
	}
	if err != nil { // the page is part of the program, and a test renders it
		fail(w, http.StatusInternalServerError, "cannot draw the page")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(b.Bytes())
}

func serveStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	kind, ok := pageKinds[path.Ext(name)]
	content, err := pageFiles.ReadFile("page/" + name)
	if !ok || err != nil {
		fail(w, http.StatusNotFound, "no such file")
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(content)
}
