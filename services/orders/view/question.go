package view

import "time"

// Question is what a report is asked for.
type Question struct {
	Customer    string // "" for all
	From, Until time.Time
	Now         time.Time // open orders are as old as they are then
	Top         int       // products at most
}

// The ages at which open orders move on to the next column.
const (
	Hour  = time.Hour
	Day   = 24 * time.Hour
	Days3 = 3 * Day
	Days7 = 7 * Day
)

// DayOf is the day of a time in reports.
func DayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }
