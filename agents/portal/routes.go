package portal

import "net/http"

// right is what somebody must be allowed in order to be served by a route.
type right string

// The rights.
const (
	anybody   right = "anybody" // signed in or not
	look      right = "look"    // at the till's own money and entries
	serve     right = "serve"   // customers at the counter
	leave     right = "leave"   // sign out
	floats    right = "floats"  // see requests for float
	askFloat  right = "ask float"
	giveFloat right = "give float"
	care      right = "care" // look customers up
)

// rights says what each role may: those of operators, those of staff, and "" for
// whoever is not signed in. It is the only place that does.
var rights = map[string][]right{
	"":          {anybody},
	"owner":     {anybody, leave, look, serve},
	"assistant": {anybody, leave, look, serve},
	"auditor":   {anybody, leave, look},
	"maker":     {anybody, leave, floats, askFloat},
	"checker":   {anybody, leave, floats, giveFloat},
	"care":      {anybody, leave, care},
}

// route is one address of the portal.
type route struct {
	method, path string
	right        right
	serve        func(*call) error
	menu         string // the word that leads there from the menu; "": it is not in it
	// stale answers a form of an earlier session or an old page in place of serve;
	// nil: it is refused.
	stale func(*call) error
	body  int64 // bytes; 0: what a form of text takes
	// silent is asked for by a page, not by a person: it does not keep a session alive.
	silent bool
}

const (
	get  = http.MethodGet
	post = http.MethodPost
)

// routes are all addresses but those of static files. A new page is a line here,
// its file in pages, its function, and its words.
func routes() []route {
	return []route{
		{method: get, path: "/agents/{$}", right: anybody, serve: (*call).front},
		{method: get, path: "/agents/", right: anybody, serve: (*call).notFound},
		{method: post, path: "/agents/lang", right: anybody, serve: (*call).setLang},
		{method: post, path: "/agents/out", right: leave, serve: (*call).signOut},

		{method: get, path: "/agents/in", right: anybody, serve: (*call).showSignIn},
		{method: post, path: "/agents/in", right: anybody, serve: (*call).signIn, stale: (*call).showSignIn},
		{method: post, path: "/agents/in/code", right: anybody, serve: (*call).signInByCode, stale: (*call).showSignIn},

		{method: get, path: "/agents/today", right: look, serve: (*call).today, menu: "today"},
		{method: get, path: "/agents/deposit", right: serve, serve: (*call).showDeposit, menu: "deposit"},
		{method: post, path: "/agents/deposit/check", right: serve, serve: (*call).checkDeposit, stale: (*call).checkDeposit},
		{method: post, path: "/agents/deposit", right: serve, serve: (*call).deposit, stale: (*call).checkDeposit},
		{method: get, path: "/agents/withdraw", right: serve, serve: (*call).showWithdraw, menu: "withdraw"},
		{method: post, path: "/agents/withdraw/check", right: serve, serve: (*call).checkWithdraw, stale: (*call).checkWithdraw},
		{method: post, path: "/agents/withdraw", right: serve, serve: (*call).withdraw, stale: (*call).checkWithdraw},
		{method: post, path: "/agents/withdraw/cancel", right: serve, serve: (*call).cancelAsked},
		{method: get, path: "/agents/done/{token}", right: look, serve: (*call).done},
		{method: get, path: "/agents/live/{token}", right: look, serve: (*call).live, silent: true},
		{method: get, path: "/agents/register", right: serve, serve: (*call).showRegister, menu: "register"},
		{method: post, path: "/agents/register", right: serve, serve: (*call).register, body: maxPhoto + 64<<10},
		{method: get, path: "/agents/registered/{token}", right: serve, serve: (*call).registered},
		{method: get, path: "/agents/entries", right: look, serve: (*call).entries, menu: "entries"},
		{method: get, path: "/agents/entries.csv", right: look, serve: (*call).entriesCSV},
		{method: get, path: "/agents/entries/{code}", right: look, serve: (*call).entry},

		{method: get, path: "/agents/staff/in", right: anybody, serve: (*call).showStaffIn},
		{method: post, path: "/agents/staff/in", right: anybody, serve: (*call).staffIn, stale: (*call).showStaffIn},
		{method: get, path: "/agents/staff/float", right: floats, serve: (*call).showFloat, menu: "float"},
		{method: post, path: "/agents/staff/float/request", right: askFloat, serve: (*call).askFloat},
		{method: post, path: "/agents/staff/float/approve", right: giveFloat, serve: (*call).giveFloat},
		{method: get, path: "/agents/staff/customer", right: care, serve: (*call).showLookUp, menu: "customer"},
		{method: post, path: "/agents/staff/customer", right: care, serve: (*call).lookUp},
	}
}
