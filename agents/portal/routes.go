package portal

import (
	"net/http"
	"slices"

	"tuma/agents"
)

// What a route may ask for beside the actions of agents, which are rights of roles.
const (
	anybody agents.Action = "anybody" // signed in or not
	leave   agents.Action = "leave"   // whoever is signed in
)

// roleMay tells whether a role may be served by a route that is this action; ""
// is whoever is not signed in.
func roleMay(role string, a agents.Action) bool {
	return a == anybody || a == leave && role != "" || agents.RoleMay(role, a)
}

// route is one address of the portal.
type route struct {
	method, path string
	right        agents.Action
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
	return slices.Concat(operatorRoutes(), officeRoutes(), staffRoutes())
}

func operatorRoutes() []route {
	return []route{
		{method: get, path: "/agents/{$}", right: anybody, serve: (*call).front},
		{method: get, path: "/agents/", right: anybody, serve: (*call).notFound},
		{method: post, path: "/agents/lang", right: anybody, serve: (*call).setLang},
		{method: post, path: "/agents/out", right: leave, serve: (*call).signOut},

		{method: get, path: "/agents/in", right: anybody, serve: (*call).showSignIn},
		{method: post, path: "/agents/in", right: anybody, serve: (*call).signIn, stale: (*call).showSignIn},
		{method: post, path: "/agents/in/code", right: anybody, serve: (*call).signInByCode, stale: (*call).showSignIn},

		{method: get, path: "/agents/today", right: agents.ActEntriesView, serve: (*call).today, menu: "today"},
		{method: get, path: "/agents/deposit", right: agents.ActDeposit, serve: (*call).showDeposit, menu: "deposit"},
		{method: post, path: "/agents/deposit/check", right: agents.ActDeposit, serve: (*call).checkDeposit, stale: (*call).checkDeposit},
		{method: post, path: "/agents/deposit", right: agents.ActDeposit, serve: (*call).deposit, stale: (*call).checkDeposit},
		{method: get, path: "/agents/withdraw", right: agents.ActWithdrawAsk, serve: (*call).showWithdraw, menu: "withdraw"},
		{method: post, path: "/agents/withdraw/check", right: agents.ActWithdrawAsk, serve: (*call).checkWithdraw, stale: (*call).checkWithdraw},
		{method: post, path: "/agents/withdraw", right: agents.ActWithdrawAsk, serve: (*call).withdraw, stale: (*call).checkWithdraw},
		{method: post, path: "/agents/withdraw/cancel", right: agents.ActWithdrawAsk, serve: (*call).cancelAsked},
		{method: get, path: "/agents/done/{token}", right: agents.ActEntriesView, serve: (*call).done},
		{method: get, path: "/agents/live/{token}", right: agents.ActEntriesView, serve: (*call).live, silent: true},
		{method: get, path: "/agents/register", right: agents.ActRegister, serve: (*call).showRegister, menu: "register"},
		{method: post, path: "/agents/register", right: agents.ActRegister, serve: (*call).register, body: maxPhoto + 64<<10},
		{method: get, path: "/agents/registered/{token}", right: agents.ActRegister, serve: (*call).registered},
		{method: get, path: "/agents/entries", right: agents.ActEntriesView, serve: (*call).entries, menu: "entries"},
		{method: get, path: "/agents/entries.csv", right: agents.ActEntriesView, serve: (*call).entriesCSV},
		{method: get, path: "/agents/entries/{code}", right: agents.ActEntriesView, serve: (*call).entry},

		{method: get, path: "/agents/entries/{code}/reversal", right: agents.ActReversalAsk, serve: (*call).showDispute},
		{method: post, path: "/agents/entries/{code}/reversal", right: agents.ActReversalAsk, serve: (*call).dispute, stale: (*call).showDispute},

		{method: get, path: "/agents/float", right: agents.ActFloatView, serve: (*call).showTillFloat, menu: "float"},
		{method: post, path: "/agents/float/alert", right: agents.ActFloatThreshold, serve: (*call).alert},
		{method: get, path: "/agents/float/ask", right: agents.ActFloatRequest, serve: (*call).showAskFloat},
		{method: post, path: "/agents/float/ask", right: agents.ActFloatRequest, serve: (*call).askTillFloat, stale: (*call).showAskFloat},
		{method: get, path: "/agents/float/send", right: agents.ActFloatTransfer, serve: (*call).showSendFloat},
		{method: post, path: "/agents/float/send/check", right: agents.ActFloatTransfer, serve: (*call).checkSendFloat, stale: (*call).checkSendFloat},
		{method: post, path: "/agents/float/send", right: agents.ActFloatTransfer, serve: (*call).sendFloat, stale: (*call).checkSendFloat},
		{method: get, path: "/agents/float/return", right: agents.ActFloatReturn, serve: (*call).showReturnFloat},
		{method: post, path: "/agents/float/return", right: agents.ActFloatReturn, serve: (*call).returnTillFloat, stale: (*call).showReturnFloat},
		{method: get, path: "/agents/commission", right: agents.ActCommissionView, serve: (*call).showCommission, menu: "commission"},
		{method: get, path: "/agents/commission.csv", right: agents.ActCommissionView, serve: (*call).commissionCSV},
		{method: post, path: "/agents/commission/payout", right: agents.ActCommissionPayout, serve: (*call).payOut, stale: (*call).askPayOut},
		{method: get, path: "/agents/day", right: agents.ActDayView, serve: (*call).showDay, menu: "till_day"},
		{method: post, path: "/agents/day/open", right: agents.ActDayOpen, serve: (*call).openDay, stale: (*call).showDay},
		{method: post, path: "/agents/day/close", right: agents.ActDayClose, serve: (*call).closeDay, stale: (*call).showDay},
		{method: get, path: "/agents/operators", right: agents.ActOperatorsManage, serve: (*call).operators, menu: "operators"},
		{method: get, path: "/agents/operators/new", right: agents.ActOperatorsManage, serve: (*call).showNewOperator},
		{method: post, path: "/agents/operators/new", right: agents.ActOperatorsManage, serve: (*call).addOperator, stale: (*call).showNewOperator},
		{method: get, path: "/agents/operators/{number}", right: agents.ActOperatorsManage, serve: (*call).showOperator},
		{method: post, path: "/agents/operators/{number}/duty", right: agents.ActOperatorsManage, serve: (*call).setDuty},
		{method: post, path: "/agents/operators/{number}/freeze", right: agents.ActOperatorsManage, serve: (*call).freezeOperator},
		{method: post, path: "/agents/operators/{number}/pin", right: agents.ActOperatorsManage, serve: (*call).resetPIN},
		{method: get, path: "/agents/log", right: agents.ActLogView, serve: (*call).ownLog, menu: "log"},
	}
}

// Routes are the method and path of every address, for who tries them all.
func Routes() (list []string) {
	for _, r := range routes() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}
