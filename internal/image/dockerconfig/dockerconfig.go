// Package dockerconfig makes a docker client configuration with additional logins for one run. It does not change the user's own configuration.
package dockerconfig

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/onedigest/onedigest/internal/execx"
)

// Login is a name and a password for a registry.
type Login struct{ Username, Password string }

// maxConfig bounds the user's configuration, in bytes.
const maxConfig = 1 << 20

// Dir returns the directory of the configuration that the docker client uses: DOCKER_CONFIG, or ~/.docker.
func Dir(environ []string) string {
	if dir := execx.Variable(environ, "DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(execx.Variable(environ, "HOME"), ".docker")
}

// config is config.json. Fields that are not named here are kept unchanged.
type config struct {
	all     map[string]json.RawMessage
	auths   map[string]json.RawMessage
	helpers map[string]string
}

// read reads the config.json of a directory; an empty configuration if the file does not exist.
func read(dir string) (config, error) {
	read := config{all: map[string]json.RawMessage{}, auths: map[string]json.RawMessage{}, helpers: map[string]string{}}
	name := filepath.Join(dir, "config.json")
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return read, nil
	}
	if err == nil && info.Size() > maxConfig {
		err = fmt.Errorf("it has %d bytes, limit %d", info.Size(), maxConfig)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(name) // #nosec G304 -- the docker client's own file
	}
	if err == nil {
		err = json.Unmarshal(content, &read.all)
	}
	for key, into := range map[string]any{"auths": &read.auths, "credHelpers": &read.helpers} {
		if value, found := read.all[key]; err == nil && found {
			err = json.Unmarshal(value, into)
		}
	}
	if err != nil {
		return config{}, fmt.Errorf("reading %q: %w", name, err)
	}
	return read, nil
}

// Known reports for which of the hosts the user's configuration has a login or a credential helper of its own.
func Known(environ []string, hosts []string) (map[string]bool, error) {
	own, err := read(Dir(environ))
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, host := range hosts {
		_, login := own.auths[host]
		known[host] = login || own.helpers[host] != ""
	}
	return known, nil
}

// Add makes a copy of the user's configuration in dir, with logins added, and returns the variables that make the docker client use it.
// Everything besides config.json is a link to the user's: plugins, contexts, and the builders of buildx.
func Add(environ []string, dir string, logins map[string]Login) ([]string, error) {
	own := Dir(environ)
	merged, err := read(own)
	if err != nil {
		return nil, err
	}
	if merged.auths == nil { // null in the file
		merged.auths = map[string]json.RawMessage{}
	}
	helpers := maps.Clone(merged.helpers)
	if helpers == nil {
		helpers = map[string]string{}
	}
	for host, login := range logins {
		encoded := base64.StdEncoding.EncodeToString([]byte(login.Username + ":" + login.Password))
		merged.auths[host], _ = json.Marshal(map[string]string{"auth": encoded}) // a map of strings
		helpers[host] = ""                                                       // not the store of all other hosts (docker/cli, config/configfile, getConfiguredCredentialStore)
	}
	merged.all["auths"], _ = json.Marshal(merged.auths)
	merged.all["credHelpers"], _ = json.Marshal(helpers)
	content, err := json.Marshal(merged.all)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), content, 0o600); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(own)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(own)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Name() == "config.json" {
			continue
		}
		if err := os.Symlink(filepath.Join(absolute, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
			return nil, err
		}
	}
	variables := []string{"DOCKER_CONFIG=" + dir}
	if execx.Variable(environ, "BUILDX_CONFIG") == "" { // buildx writes here
		variables = append(variables, "BUILDX_CONFIG="+filepath.Join(absolute, "buildx"))
	}
	return variables, nil
}
