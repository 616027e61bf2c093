//go:build live

package claudecode_test

import (
	"flag"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/owner/claudecode"
)

// The live tests look at a real login, at a path that is given by name, and
// spend nothing without -spend. They are never run by .ci/run:
//
//	go test -tags live ./owner/claudecode -run Live -login /path/to/.credentials.json
var (
	liveLogin = flag.String("login", "", "the credentials file to look at")
	liveSpend = flag.Bool("spend", false, "refresh the login once, for real")
)

func live(t *testing.T, readOnly bool) *evercred.Source {
	t.Helper()
	if *liveLogin == "" {
		t.Skip("no -login PATH was given")
	}
	s, err := claudecode.OpenFile(*liveLogin, &claudecode.Options{Options: evercred.Options{ReadOnly: readOnly}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestLiveLook serves and looks, and neither writes nor sends anything.
func TestLiveLook(t *testing.T) {
	s := live(t, true)
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("state %s, access %s, expires %s, plan %s, notes %v", st.State, st.Access, st.Expires, st.Plan, st.Notes)
	if st.Usable {
		tok, err := s.Token(t.Context())
		if err != nil || tok.Fingerprint() != st.Access {
			t.Errorf("a usable token is not served: %v", err)
		}
	}
}

// TestLiveSpend refreshes the login once.
func TestLiveSpend(t *testing.T) {
	if !*liveSpend {
		t.Skip("without -spend nothing is spent")
	}
	r, err := live(t, false).Refresh(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(r.Token.Expires()); !r.Granted || left < time.Minute {
		t.Errorf("granted %t, %v left", r.Granted, left)
	}
}
