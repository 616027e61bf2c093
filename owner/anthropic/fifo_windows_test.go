package anthropic

import "testing"

func fifo(*testing.T, string) bool { return false }
