package setting

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Text accepts one line of text that text.IsPrintable accepts. Names and paths need no control or invisible characters, and with
// them a log line can look like something else.
func Text(value string) (string, error) {
	if !text.IsPrintable(value) {
		return "", fmt.Errorf("%q holds a line break, a control character or an invisible character", value)
	}
	return value, nil
}

// Duration accepts Go's durations ("90s", "5m") greater than zero.
func Duration(text string) (time.Duration, error) {
	duration, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write it as 90s, 5m or 1h", text)
	}
	if duration <= 0 {
		return 0, fmt.Errorf("%q is not above zero", text)
	}
	return duration, nil
}

// Share is a part of a whole, from 0 to 0.5.
type Share float64

// String writes it in percent.
func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'g', -1, 64) + "%" }

// ParseShare accepts a percentage above 0 and up to 50.
func ParseShare(text string) (Share, error) {
	number, isPercent := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil || !isPercent || !(percent > 0 && percent <= 50) {
		return 0, fmt.Errorf("%q is not a percentage above 0%% and up to 50%%; write it as 0.1%%", text)
	}
	return Share(percent / 100), nil
}

// Count accepts whole numbers from 1 to limit.
func Count(limit int) func(string) (int, error) {
	return func(text string) (int, error) {
		count, err := strconv.Atoi(text)
		if err != nil || count < 1 || count > limit {
			return 0, fmt.Errorf("%q is not a whole number from 1 to %d", text, limit)
		}
		return count, nil
	}
}

// OneOf accepts one of the given words.
func OneOf(words ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		for _, word := range words {
			if text == word {
				return text, nil
			}
		}
		return "", fmt.Errorf("%q is not one of %s", text, strings.Join(words, ", "))
	}
}

var pairName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)

// Pair is one name=value.
type Pair struct{ Name, Value string }

// PairName returns a pair's name.
func PairName(pair Pair) string { return pair.Name }

// NameValue accepts name=value. The value is one line of any text. Errors do not contain the value, which may be a secret.
func NameValue(given string) (Pair, error) {
	name, value, found := strings.Cut(given, "=")
	if !found || !pairName.MatchString(name) {
		return Pair{}, errors.New("is not name=value")
	}
	if !text.IsPrintable(value) {
		return Pair{}, fmt.Errorf("the value of %q holds a line break, a control character or an invisible character", name)
	}
	return Pair{Name: name, Value: value}, nil
}

// DeclarePlainHTTP adds the setting of the registries that are spoken to without TLS.
func DeclarePlainHTTP(set *Set, target *[]string) {
	List(set, target, Setting{Name: "plain-http", Commas: true, Value: "HOST[:PORT]",
		Help: "Registry that is spoken to over plain HTTP, so that credentials and images can be read and changed on the way; registries of this machine always are"}, registryHost)
}

func registryHost(text string) (string, error) {
	repository, err := release.ParseRepository(text + "/repository")
	if err != nil || repository.Host() != text {
		return "", fmt.Errorf("%q is not a registry's host", text)
	}
	return text, nil
}
