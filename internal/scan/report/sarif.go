package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release/fact"
)

// sarif is the part of a log that is used. Source: OASIS SARIF 2.1.0, section 3, "File format".
type sarif struct {
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver     sarifComponent   `json:"driver"`
		Extensions []sarifComponent `json:"extensions"`
	} `json:"tool"`
	Invocations []struct {
		Successful *bool  `json:"executionSuccessful"`
		End        string `json:"endTimeUtc"`
		Start      string `json:"startTimeUtc"`
	} `json:"invocations"`
	Results    []sarifResult `json:"results"`
	Properties struct {
		RepoDigests []string `json:"repoDigests"` // Trivy's. Source: Trivy, pkg/report/sarif.go
	} `json:"properties"`
}

type sarifComponent struct {
	Name            string      `json:"name"`
	Version         string      `json:"version"`
	SemanticVersion string      `json:"semanticVersion"`
	Rules           []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID            string `json:"id"`
	Configuration struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
	Properties sarifProperties `json:"properties"`
}

// sarifProperties have GitHub's score, which is a number in a string. Source: GitHub Docs, "SARIF support for code scanning", "reportingDescriptor object".
type sarifProperties struct {
	Score json.RawMessage `json:"security-severity"`
}

type sarifResult struct {
	RuleID string `json:"ruleId"`
	Rule   struct {
		ID string `json:"id"`
	} `json:"rule"`
	RuleIndex    *int   `json:"ruleIndex"`
	Kind         string `json:"kind"`
	Level        string `json:"level"`
	Suppressions []struct {
		Kind   string `json:"kind"`
		Status string `json:"status"`
	} `json:"suppressions"`
	Message struct {
		Text string `json:"text"`
	} `json:"message"`
	Locations []struct {
		Logical []struct {
			FullyQualified string `json:"fullyQualifiedName"`
			Name           string `json:"name"`
		} `json:"logicalLocations"`
	} `json:"locations"`
	Properties sarifProperties `json:"properties"`
}

func parseSARIF(content []byte) (read Report, err error) {
	var log sarif
	if err := json.Unmarshal(content, &log); err != nil {
		return Report{}, err
	}
	if log.Version != "2.1.0" {
		return Report{}, fmt.Errorf("%.20q is not the version 2.1.0 of SARIF", log.Version)
	}
	if len(log.Runs) == 0 {
		return Report{}, errors.New("the log has no run of a scanner")
	}
	read.Format = SARIF
	for i, run := range log.Runs {
		if run.Results == nil { // null, which SARIF says of a run that did not start
			return Report{}, errors.New("a run has no list of results: the scanner did not scan")
		}
		driver := run.Tool.Driver
		if i == 0 {
			version := driver.Version
			if version == "" {
				version = driver.SemanticVersion
			}
			read.setScanner(driver.Name, version)
		}
		if err := read.addTimes(run); err != nil {
			return Report{}, err
		}
		for _, named := range run.Properties.RepoDigests {
			read.addImage(named)
		}
		if err := read.addResults(run); err != nil {
			return Report{}, err
		}
	}
	return read, nil
}

// addTimes takes the end of the oldest invocation, and refuses one that failed.
func (r *Report) addTimes(run sarifRun) error {
	for _, invocation := range run.Invocations {
		if invocation.Successful != nil && !*invocation.Successful {
			return errors.New("an invocation of the scanner did not succeed")
		}
		ended := invocation.End
		if ended == "" {
			ended = invocation.Start
		}
		if ended == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, ended)
		if err != nil {
			return fmt.Errorf("the time of an invocation is not a time: %.40q", ended)
		}
		if r.At.IsZero() || at.Before(r.At) {
			r.At = at
		}
	}
	return nil
}

// withPackage matches the identifier of a rule of Grype: the vulnerability's, and the package's name.
// Source: Grype, grype/presenter/sarif; GitHub Docs, "About the GitHub Advisory database", "About GHSA IDs".
var withPackage = regexp.MustCompile(`^(CVE-[0-9]{4}-[0-9]{4,}|GHSA(?:-[2-9cfghjmpqrvwx]{4}){3})-(.+)$`)

func (r *Report) addResults(run sarifRun) error {
	rules := map[string]sarifRule{}
	for _, component := range append(slices.Clone(run.Tool.Extensions), run.Tool.Driver) {
		for _, rule := range component.Rules {
			rules[rule.ID] = rule
		}
	}
	for _, result := range run.Results {
		if result.Kind != "" && result.Kind != "fail" && result.Kind != "open" && result.Kind != "review" { // pass, notApplicable, informational
			continue
		}
		id := result.RuleID
		if id == "" {
			id = result.Rule.ID
		}
		if at := result.RuleIndex; id == "" && at != nil && *at >= 0 && *at < len(run.Tool.Driver.Rules) {
			id = run.Tool.Driver.Rules[*at].ID
		}
		severity, of := sarifSeverity(result, rules[id]), packageIn(result)
		if match := withPackage.FindStringSubmatch(id); match != nil {
			id, of = match[1], cmp.Or(of, match[2])
		}
		excuse := ""
		for _, suppression := range result.Suppressions {
			if suppression.Status == "" || suppression.Status == "accepted" {
				excuse = "suppressed " + suppression.Kind
			}
		}
		if err := r.add(id, of, severity, excuse); err != nil {
			return err
		}
	}
	return nil
}

// packageIn returns the package that a result is about, as Trivy's message or else a logical location names it; "" if neither does.
func packageIn(result sarifResult) string {
	var of, version string
	for line := range strings.Lines(result.Message.Text) {
		if value, found := strings.CutPrefix(line, "Package: "); found && of == "" {
			of = strings.TrimSpace(value)
		}
		if value, found := strings.CutPrefix(line, "Installed Version: "); found && version == "" {
			version = strings.TrimSpace(value)
		}
	}
	if of != "" {
		return strings.TrimSuffix(of+"@"+version, "@")
	}
	for _, location := range result.Locations {
		for _, logical := range location.Logical {
			if logical.FullyQualified != "" {
				return logical.FullyQualified
			}
			if logical.Name != "" {
				return logical.Name
			}
		}
	}
	return ""
}

// sarifSeverity returns the severity by the score of the result or its rule, or else by the level.
func sarifSeverity(result sarifResult, rule sarifRule) fact.Severity {
	for _, properties := range []sarifProperties{result.Properties, rule.Properties} {
		if score := strings.Trim(string(properties.Score), `"`); score != "" && score != "null" {
			parsed, err := strconv.ParseFloat(score, 64)
			if err != nil {
				return fact.Unknown
			}
			return severityOf(parsed)
		}
	}
	level := result.Level
	if level == "" {
		level = rule.Configuration.Level
	}
	switch level {
	case "error":
		return fact.High
	case "warning", "": // the default. Source: SARIF 2.1.0, section 3.27.10
		return fact.Medium
	case "note":
		return fact.Low
	case "none":
		return fact.Info
	}
	return fact.Unknown
}
