package flows

// Settings of the flows service.
type Settings struct {
	Keep int `setting:"keep" default:"50000" min:"1" read:"start" doc:"ended flows that the list keeps"`
}
