package chaos

import "os"

// Scale says how much a run has to stand.
type Scale int

// The scales: Short belongs to every test run, CI to every commit, Full to a night.
const (
	Short Scale = iota
	CI
	Full
)

// ScaleFromEnv reads MESH_CHAOS: "ci", "full", or anything else for Short.
// MESH_LONG=1 means "ci" for all long tests of the repository.
func ScaleFromEnv() Scale {
	switch mode := os.Getenv("MESH_CHAOS"); {
	case mode == "full":
		return Full
	case mode == "ci" || os.Getenv("MESH_LONG") == "1":
		return CI
	}
	return Short
}

// pick chooses a number by scale.
func (s Scale) pick(short, ci, full int) int { return [...]int{short, ci, full}[s] }
