package portal

import "tuma/agents"

// staffRoutes are the addresses of the service's own staff.
func staffRoutes() []route {
	return []route{
		{method: get, path: "/agents/staff/in", right: anybody, serve: (*call).showStaffIn},
		{method: post, path: "/agents/staff/in", right: anybody, serve: (*call).staffIn, stale: (*call).showStaffIn},
		{method: get, path: "/agents/staff/code", right: anybody, serve: (*call).showStaffCode},
		{method: post, path: "/agents/staff/code", right: anybody, serve: (*call).staffCode, stale: (*call).showStaffCode},

		{method: get, path: "/agents/staff/float", right: agents.ActFloatWaiting, serve: (*call).showFloat, menu: "float"},
		{method: get, path: "/agents/staff/float/{id}", right: agents.ActFloatWaiting, serve: (*call).showOneFloat},
		{method: post, path: "/agents/staff/float/request", right: agents.ActFloatMake, serve: (*call).askFloat},
		{method: post, path: "/agents/staff/float/take", right: agents.ActFloatMake, serve: (*call).takeFloat},
		{method: post, path: "/agents/staff/float/approve", right: agents.ActFloatCheck, serve: (*call).giveFloat},
		{method: post, path: "/agents/staff/float/decline", right: agents.ActFloatWaiting, serve: (*call).declineFloat},
		{method: get, path: "/agents/staff/reversals", right: agents.ActReversalDecide, serve: (*call).showReversals, menu: "reversals"},
		{method: get, path: "/agents/staff/reversals/{id}", right: agents.ActReversalDecide, serve: (*call).showOneReversal},
		{method: post, path: "/agents/staff/reversals/decide", right: agents.ActReversalDecide, serve: (*call).decideReversal},
		{method: get, path: "/agents/staff/customer", right: agents.ActCustomerLookup, serve: (*call).showLookUp, menu: "customer"},
		{method: post, path: "/agents/staff/customer", right: agents.ActCustomerLookup, serve: (*call).lookUp},
		{method: post, path: "/agents/staff/photo", right: agents.ActPhotoView, serve: (*call).showPhoto},
		{method: get, path: "/agents/staff/freezes", right: agents.ActFreeze, serve: (*call).showFreezes, menu: "freezes"},
		{method: post, path: "/agents/staff/freezes", right: agents.ActFreeze, serve: (*call).freeze},
		{method: get, path: "/agents/staff/log", right: agents.ActLogViewAll, serve: (*call).wholeLog, menu: "whole_log"},
	}
}
