package evercred

import (
	"testing"
	"time"
)

// R18: a clock that was set back finds nothing good, or a token would be kept
// for as long as it jumped.
func TestLeaseR18(t *testing.T) {
	taken := time.Unix(1_800_000_000, 0)
	bounded := &lease{from: taken, until: taken.Add(time.Hour)}
	endless := &lease{from: taken}
	tests := []struct {
		at               time.Duration
		bounded, endless bool
	}{
		{-24 * time.Hour, false, false},
		{-1, false, false},
		{0, true, true},
		{time.Hour - 1, true, true},
		{time.Hour, false, true},
	}
	for _, tt := range tests {
		now := taken.Add(tt.at)
		if bounded.good(now) != tt.bounded || endless.good(now) != tt.endless || (*lease)(nil).good(now) {
			t.Errorf("%v after it was taken: bounded %v, endless %v", tt.at, bounded.good(now), endless.good(now))
		}
	}
	if now := wallClock(); now != now.Round(0) {
		t.Error("the wall clock has a monotonic reading")
	}
}
