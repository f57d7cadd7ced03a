package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Config is the service's configuration, read from the environment once, at start.
type Config struct {
	Environment string
	Greeting    string
	Port        int
	MetricsPort int // serves only /metrics; 0: it is not served
	LogLevel    slog.Level
	ImageDigest string
	DrainDelay  time.Duration // how long requests are served after SIGTERM, until every load balancer has noticed
	DrainLimit  time.Duration // how long running requests may take after that
	Database    func() string // the URL of a PostgreSQL database now, with its password; "" if there is none
	Secrets     Secrets
}

// secretNames are the variables whose values are never shown, only whether they are set.
var secretNames = []string{"API_TOKEN", "DATABASE_URL"}

// Secrets tells which secrets are set. A file of the secret's name decides, which Kubernetes rewrites when the value changes; without
// one, the environment as it was at start.
type Secrets struct {
	dir     string // "": there are no files
	atStart map[string]bool
}

// Set reports whether a secret has a value now.
func (s Secrets) Set(name string) bool {
	if s.dir != "" {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			return info.Size() > 0
		}
	}
	return s.atStart[name]
}

// read returns a secret's value now. atStart is that of the environment.
func (s Secrets) read(name, atStart string) string {
	if s.dir != "" {
		if text, err := os.ReadFile(filepath.Join(s.dir, name)); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	return atStart
}

// InvalidConfig lists every problem of an environment.
type InvalidConfig struct{ Problems []string }

func (e *InvalidConfig) Error() string {
	return "invalid configuration:\n  " + strings.Join(e.Problems, "\n  ")
}

// LoadConfig reads the configuration and reports all its problems at once.
func LoadConfig(getenv func(string) string) (Config, error) {
	reader := &reader{getenv: getenv}
	config := Config{
		Environment: reader.label("ENVIRONMENT", "local"),
		Greeting:    reader.text("GREETING", "Hello"),
		Port:        reader.number("PORT", 8080, 1, 65535),
		MetricsPort: reader.number("METRICS_PORT", 0, 1, 65535),
		LogLevel:    reader.level("LOG_LEVEL", slog.LevelInfo),
		ImageDigest: reader.digest("IMAGE_DIGEST"),
		DrainDelay:  reader.duration("DRAIN_DELAY", 3*time.Second),
		DrainLimit:  reader.duration("DRAIN_LIMIT", 15*time.Second),
		Secrets:     Secrets{dir: getenv("SECRETS_DIR"), atStart: map[string]bool{}},
	}
	for _, name := range secretNames {
		config.Secrets.atStart[name] = getenv(name) != ""
	}
	atStart := getenv("DATABASE_URL")
	config.Database = func() string { return config.Secrets.read("DATABASE_URL", atStart) }
	if config.MetricsPort == config.Port {
		reader.problem("METRICS_PORT", "%d is PORT as well, so every client of the service could read the metrics", config.Port)
	}
	if len(reader.problems) > 0 {
		return Config{}, &InvalidConfig{Problems: reader.problems}
	}
	return config, nil
}

type reader struct {
	getenv   func(string) string
	problems []string
}

func (r *reader) problem(name, format string, args ...any) {
	r.problems = append(r.problems, name+": "+fmt.Sprintf(format, args...))
}

func (r *reader) text(name, standard string) string {
	value := r.getenv(name)
	switch {
	case value == "":
		return standard
	case len(value) > 200:
		r.problem(name, "is %d characters long, limit 200", len(value))
	}
	return value
}

var labelPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

func (r *reader) label(name, standard string) string {
	value := r.text(name, standard)
	if !labelPattern.MatchString(value) {
		r.problem(name, "%q is not a name of lower-case letters, digits and -", value)
	}
	return value
}

func (r *reader) number(name string, standard, least, most int) int {
	value := r.getenv(name)
	if value == "" {
		return standard
	}
	number, err := strconv.Atoi(value)
	if err != nil || number < least || number > most {
		r.problem(name, "%q is not a whole number from %d to %d", value, least, most)
	}
	return number
}

func (r *reader) level(name string, standard slog.Level) slog.Level {
	value := r.getenv(name)
	if value == "" {
		return standard
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(value)); err != nil {
		r.problem(name, "%q is none of debug, info, warn, error", value)
	}
	return level
}

func (r *reader) duration(name string, standard time.Duration) time.Duration {
	value := r.getenv(name)
	if value == "" {
		return standard
	}
	duration, err := time.ParseDuration(value)
	if err != nil || duration < 0 || duration > time.Hour {
		r.problem(name, "%q is not a duration from 0s to 1h", value)
	}
	return duration
}

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (r *reader) digest(name string) string {
	value := r.getenv(name)
	if value != "" && !digestPattern.MatchString(value) {
		r.problem(name, "%q is not sha256: and 64 hex digits", value)
	}
	return value
}
