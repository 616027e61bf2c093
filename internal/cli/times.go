package cli

import (
	"fmt"
	"time"
)

// relative is a time span in the two units that matter.
func relative(d time.Duration) string {
	d = d.Abs()
	switch {
	case d < time.Second:
		return "1 s"
	case d < time.Minute-time.Second/2:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", max(1, int(d.Minutes())))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// moment is a time as a person would say it, and exactly: "in 42 s, 2026-11-23 14:03:10".
func (a *app) moment(t time.Time) string {
	exact := t.Local().Format(time.DateTime)
	if d := t.Sub(a.now()); d < 0 {
		return relative(d) + " ago, " + exact
	} else {
		return "in " + relative(d) + ", " + exact
	}
}
