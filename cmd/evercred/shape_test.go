package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// shape lists the members of a JSON value and their types, one a line.
func shape(v any, at string) string {
	switch v := v.(type) {
	case map[string]any:
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(shape(v[k], strings.TrimPrefix(at+"."+k, ".")))
		}
		return b.String()
	case []any:
		if len(v) == 0 {
			return at + "[]\n"
		}
		return shape(v[0], at+"[]")
	case string:
		return at + " string\n"
	case float64:
		return at + " number\n"
	case bool:
		return at + " bool\n"
	}
	return fmt.Sprintf("%s %T\n", at, v)
}
