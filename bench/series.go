package bench

import "math"

// Series is a figure with readings at many moments of a load.
type Series struct {
	Panel    string    `json:"panel"` // the plot that it is in, with others of its unit
	Name     string    `json:"name"`
	Unit     string    `json:"unit"`
	Readings []Reading `json:"readings"` // in the order of time, without failed reads
}

// Reading is the value of a series at one moment.
type Reading struct {
	At    float64 `json:"s"` // seconds since the load began
	Value float64 `json:"v"`
}

// most returns the largest value; 0 without readings.
func most(readings []Reading) float64 {
	largest := 0.0
	for _, r := range readings {
		largest = math.Max(largest, r.Value)
	}
	return largest
}

// mean returns the average value; 0 without readings.
func mean(readings []Reading) float64 {
	if len(readings) == 0 {
		return 0
	}
	sum := 0.0
	for _, r := range readings {
		sum += r.Value
	}
	return sum / float64(len(readings))
}

// trend is a straight line through readings, by least squares.
type trend struct {
	perSecond float64
	// deviation is the standard error of perSecond, from the distances of the readings to
	// the line. +Inf for fewer than three readings.
	deviation float64
}

// fit returns the trend of readings. With fewer than two at different moments it is
// flat, and its deviation infinite.
func fit(readings []Reading) trend {
	n := float64(len(readings))
	var atMean float64
	for _, r := range readings {
		atMean += r.At / n
	}
	valueMean := mean(readings)
	var xx, xy float64
	for _, r := range readings {
		xx += (r.At - atMean) * (r.At - atMean)
		xy += (r.At - atMean) * (r.Value - valueMean)
	}
	if xx == 0 {
		return trend{deviation: math.Inf(1)}
	}
	slope := xy / xx
	if n < 3 {
		return trend{slope, math.Inf(1)}
	}
	var left float64
	for _, r := range readings {
		beside := r.Value - valueMean - slope*(r.At-atMean)
		left += beside * beside
	}
	return trend{slope, math.Sqrt(left / (n - 2) / xx)}
}
