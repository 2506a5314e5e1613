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
		{method: get, path: "/agents/staff/bank", right: agents.ActReconcile, serve: (*call).showBank, menu: "bank"},
		{method: get, path: "/agents/staff/bank.csv", right: agents.ActReconcile, serve: (*call).bankCSV},
		{method: post, path: "/agents/staff/bank", right: agents.ActReconcile, serve: (*call).importBank, stale: (*call).showBank, body: agents.MaxBankFile + 64<<10},
		{method: get, path: "/agents/staff/bank/{name}", right: agents.ActReconcile, serve: (*call).showDifference},
		{method: post, path: "/agents/staff/bank/explain", right: agents.ActReconcileNote, serve: (*call).explainDifference},
		{method: post, path: "/agents/staff/bank/close", right: agents.ActReconcileClose, serve: (*call).closeDifference},
		{method: get, path: "/agents/staff/customer", right: agents.ActCustomerLookup, serve: (*call).showLookUp, menu: "customer"},
		{method: post, path: "/agents/staff/customer", right: agents.ActCustomerLookup, serve: (*call).lookUp},
		{method: post, path: "/agents/staff/photo", right: agents.ActPhotoView, serve: (*call).showPhoto},
		{method: get, path: "/agents/staff/freezes", right: agents.ActFreeze, serve: (*call).showFreezes, menu: "freezes"},
		{method: post, path: "/agents/staff/freezes", right: agents.ActFreeze, serve: (*call).freeze},
		{method: get, path: "/agents/staff/brakes", right: agents.ActBrakesView, serve: (*call).showBrakes, menu: "brakes"},
		{method: get, path: "/agents/staff/brakes/{id}", right: agents.ActBrakesView, serve: (*call).showOneBrake},
		{method: post, path: "/agents/staff/brakes/decide", right: agents.ActBrakeReview, serve: (*call).decideBrake},
		{method: get, path: "/agents/staff/flags", right: agents.ActTillWatch, serve: (*call).showFlags, menu: "flags"},
		{method: get, path: "/agents/staff/disputes", right: agents.ActTillWatch, serve: (*call).showDisputes, menu: "disputes"},
		{method: get, path: "/agents/staff/log", right: agents.ActLogViewAll, serve: (*call).wholeLog, menu: "whole_log"},
	}
}

// officeRoutes are the addresses of a head office.
func officeRoutes() []route {
	return []route{
		{method: get, path: "/agents/office", right: agents.ActNetworkView, serve: (*call).office, menu: "office"},
		{method: get, path: "/agents/office.csv", right: agents.ActNetworkView, serve: (*call).officeCSV},
		{method: get, path: "/agents/office/{till}", right: agents.ActNetworkView, serve: (*call).officeTill},
		{method: get, path: "/agents/office/{till}/flags", right: agents.ActNetworkView, serve: (*call).showFlags},
		{method: get, path: "/agents/office/{till}/disputes", right: agents.ActNetworkView, serve: (*call).showDisputes},
		{method: post, path: "/agents/office/move", right: agents.ActNetworkView, serve: (*call).moveFloat},
	}
}
