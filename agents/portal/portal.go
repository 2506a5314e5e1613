// Package portal is the way in of agents and of the service's own staff through
// a browser: pages made here, readable on a small screen over a slow link and
// without JavaScript.
//
// It refuses to know the ledger and how money moves: what is asked for goes to
// the verbs of agents and accounts. A PIN goes to its verification and nowhere
// else, and nothing is shown that is not looked up through the till of whoever
// is signed in.
package portal

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"tuma/accounts"
	"tuma/agents"
	"tuma/internal/db"
	"tuma/internal/text"
)

//go:embed words/*.txt pages/*.html static
var files embed.FS

// Options are what the portal is made of.
type Options struct {
	Pool     *db.Pool
	Accounts *accounts.Service
	Agents   *agents.Service
	Redis    *redis.Client // counts tries
	Rand     io.Reader     // tokens and codes; read from many goroutines at once
	Log      *slog.Logger
	Photos   string         // folder of ID photos, outside whatever is served; "": nobody is registered here
	Proxies  []netip.Prefix // whose X-Forwarded-For is believed
	// Plain is for development on this machine without TLS: cookies without
	// __Host- and Secure, which a browser would not take from there.
	Plain bool
}

// portal is the handler.
type portal struct {
	Options
	words     *text.Catalogue
	languages []string
	templates map[string]*template.Template // by language and page, "en/today"
	static    map[string]asset              // by path
	css, js   string                        // their paths
	rate      *redis_rate.Limiter
	heavy     chan struct{} // holds one for each passphrase or picture under way: they take memory
	mux       *http.ServeMux
}

// New makes the handler of everything under /agents/.
func New(o Options) (http.Handler, error) {
	if o.Pool == nil || o.Accounts == nil || o.Agents == nil || o.Redis == nil || o.Rand == nil || o.Log == nil {
		return nil, errors.New("portal: a pool, accounts, agents, Redis, randomness and a log are needed")
	}
	p := &portal{Options: o, rate: redis_rate.NewLimiter(o.Redis), heavy: make(chan struct{}, 2), languages: o.Accounts.Country().Languages}
	if o.Photos != "" {
		if err := os.MkdirAll(o.Photos, 0o700); err != nil {
			return nil, fmt.Errorf("portal: folder of ID photos: %w", err)
		}
	}
	var err error
	if p.words, err = text.ParseCatalogue(files, "words"); err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	for _, lang := range p.languages {
		if !slices.Contains(p.words.Languages(), lang) {
			return nil, fmt.Errorf("portal: there are no words in language %q", lang)
		}
	}
	if err := p.readStatic(); err != nil {
		return nil, err
	}
	if err := p.parse(); err != nil {
		return nil, err
	}
	p.mux = http.NewServeMux()
	for _, r := range routes() {
		p.mux.Handle(r.method+" "+r.path, p.handler(r))
	}
	p.mux.HandleFunc("GET /agents/static/{file}", p.serveStatic)
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(p.handler(route{right: anybody, serve: (*call).oldForm}))
	return p.harden(guard.Handler(p.mux)), nil
}
