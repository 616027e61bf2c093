package grant

import (
	"net/http"
	"testing"
	"time"
)

// FuzzRetryAfter: a wish is a time after the answer, at most a century of
// seconds away or a date, or no wish.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"3600", " 7 ", "0", "-5", "1.5", "18446744073709551615", "9999999999", "99999999999999999999", "Mon, 06 May 2030 07:09:09 GMT", "Monday, 06-May-30 07:09:09 GMT", "Mon May  6 07:09:09 2030", "Fri, 31 Dec 9999 23:59:59 GMT", "\x00", "1e3", "0x10"} {
		f.Add(value, int64(0))
		f.Add(value, int64(253402300799))
	}
	f.Fuzz(func(t *testing.T, value string, unix int64) {
		at := time.Unix(unix%(1<<40), 0)
		got := reply{header: http.Header{"Retry-After": {value}}}.retryAfter(at)
		if got.IsZero() {
			return
		}
		if !got.After(at) {
			t.Fatalf("%q at %v: %v is not later", value, at, got)
		}
		if _, err := http.ParseTime(value); err != nil && got.Sub(at) > 100*366*24*time.Hour {
			t.Fatalf("%q at %v: %v is further than a century away", value, at, got)
		}
	})
}
