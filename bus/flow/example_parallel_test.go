package flow_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ordermesh/ordermesh/bus/flow"
)

// Two calls that do not need each other are made at the same time.
func ExampleAll() {
	type trip struct{ Flight, Hotel string }
	plan := flow.Define("plan", 1, func(run *flow.Run, city string) (trip, error) {
		flight := flow.Parallel("flight", func(context.Context) (string, error) { return "flight to " + city, nil })
		hotel := flow.Parallel("hotel", func(context.Context) (string, error) { return "hotel in " + city, nil })
		if err := flow.All(run, flight, hotel); err != nil {
			return trip{}, err
		}
		return trip{flight.Value(), hotel.Value()}, nil
	})
	client, stop := serveExample([]flow.Registered{plan})
	defer stop()
	got, err := flow.Do(context.Background(), client, plan, "t1", "Oslo")
	if err != nil {
		log.Println(err)
		return
	}
	fmt.Printf("%+v\n", got)
	// Output: {Flight:flight to Oslo Hotel:hotel in Oslo}
}

// The first carrier that answers gets the parcel; the other is not waited for.
func ExampleRace() {
	ask := flow.Define("ask", 1, func(run *flow.Run, _ string) (string, error) {
		asleep := flow.Parallel("asleep", func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		awake := flow.Parallel("awake", func(context.Context) (string, error) { return "tomorrow", nil })
		winner, err := flow.Race(run, asleep, awake)
		if err != nil {
			return "", err
		}
		return fmt.Sprint("carrier ", winner, " says ", awake.Value()), nil
	})
	client, stop := serveExample([]flow.Registered{ask})
	defer stop()
	answer, err := flow.Do(context.Background(), client, ask, "p1", "parcel")
	fmt.Println(answer, err)
	// Output: carrier 1 says tomorrow <nil>
}
