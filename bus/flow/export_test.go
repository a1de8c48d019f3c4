package flow

// Scheduling is the flow that schedules are, for tests of crashes, with its types.
var Scheduling = scheduling

type (
	Plan = plan
	None = none
)

// PlanOf is the input of a schedule's flow.
func PlanOf(s Schedule) Plan { return s.plan }
