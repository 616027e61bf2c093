package main

import (
	"path/filepath"
	"testing"
)

func TestControlsFitTheSource(t *testing.T) {
	for _, s := range suites() {
		if err := s.Fit(filepath.Join("..", "..", ".."), t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}
