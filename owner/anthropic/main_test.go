package anthropic

import (
	"testing"

	"github.com/evercred/evercred/credtest"
)

// No test may open a real login.
func TestMain(m *testing.M) { credtest.Main(m) }
