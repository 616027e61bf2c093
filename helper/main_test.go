package helper_test

import (
	"testing"

	"github.com/evercred/evercred/credtest"
)

func TestMain(m *testing.M) { credtest.Main(m) }
