package grant_test

import (
	"os"
	"testing"

	"github.com/evercred/evercred/credtest"
)

// No test may open a real login. The child of TestR21Environment alone keeps the
// proxies that its test gave it.
func TestMain(m *testing.M) {
	if os.Getenv("GRANT_TEST_CHILD") != "" {
		os.Exit(m.Run())
	}
	credtest.Main(m)
}
