package limit_test

import (
	"fmt"

	"hoko.to/edge/plugin/limit"
)

func ExampleParse() {
	l, err := limit.Parse("600/1m")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Rate, "requests per", l.Period, "with a burst of", l.Burst)

	// Parse sets the burst to the rate. You may change it.
	l.Burst = 50
	fmt.Println("an empty bucket fills in", l.Fill())

	_, err = limit.Parse("600/60") // not a duration
	fmt.Println(err != nil)
	// Output:
	// 600 requests per 1m0s with a burst of 600
	// an empty bucket fills in 5s
	// true
}
