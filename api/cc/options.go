package cc

import (
	"fmt"
	"strings"
)

// ParseOptions calls set for each option of opts, which is what a [Factory] is
// given: "key=value" separated by commas, or empty. set returns false for a key
// that it does not know, and an error for a value that the key cannot have.
// The error names the option at fault. Spaces around keys and values are
// ignored; a key may stand only once.
func ParseOptions(opts string, set func(key, value string) (known bool, err error)) error {
	if strings.TrimSpace(opts) == "" {
		return nil
	}
	seen := make(map[string]bool)
	for _, o := range strings.Split(opts, ",") {
		key, value, ok := strings.Cut(o, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" || value == "" {
			return fmt.Errorf("option %q is not of the form key=value", strings.TrimSpace(o))
		}
		if seen[key] {
			return fmt.Errorf("option %q is given twice", key)
		}
		seen[key] = true
		known, err := set(key, value)
		if !known {
			return fmt.Errorf("unknown option %q", key)
		}
		if err != nil {
			return fmt.Errorf("option %q: %w", key, err)
		}
	}
	return nil
}
