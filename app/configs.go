package main

import (
	"net/http"
	"strings"
)

// configs serves the effective configuration: values that are not secret, and whether each secret is set.
func (s *Service) configs(w http.ResponseWriter, _ *http.Request) {
	secrets := map[string]string{}
	for _, name := range secretNames {
		secrets[name] = "unset"
		if s.config.Secrets.Set(name) {
			secrets[name] = "set"
		}
	}
	s.json(w, http.StatusOK, map[string]any{
		"environment": s.config.Environment,
		"commit":      s.build.Commit,
		"config": map[string]any{
			"greeting":   s.config.Greeting,
			"port":       s.config.Port,
			"logLevel":   strings.ToLower(s.config.LogLevel.String()),
			"drainDelay": s.config.DrainDelay.String(),
			"drainLimit": s.config.DrainLimit.String(),
		},
		"secrets": secrets,
	})
}
