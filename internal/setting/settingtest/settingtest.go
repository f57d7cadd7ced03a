// Package settingtest applies flags to settings in tests.
package settingtest

import (
	"strings"

	"github.com/onedigest/onedigest/internal/setting"
)

// Apply applies flags to a set: "--name=value", "--name", "value" or, for a switch, "--name".
func Apply(set *setting.Set, flags ...string) error {
	values := setting.Values{}
	for i := 0; i < len(flags); i++ {
		name, value, joined := strings.Cut(strings.TrimPrefix(flags[i], "--"), "=")
		if declared := set.Lookup(name); !joined && declared != nil && declared.Switch {
			value = "true"
		} else if !joined && i+1 < len(flags) {
			i++
			value = flags[i]
		}
		given := values[name]
		values[name] = setting.Input{Texts: append(given.Texts, value), Origin: "--" + name}
	}
	return set.Apply(values)
}
