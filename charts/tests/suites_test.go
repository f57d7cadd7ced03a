package charts

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"

	"github.com/helm-unittest/helm-unittest/pkg/unittest"
	"github.com/helm-unittest/helm-unittest/pkg/unittest/printer"
)

// TestSuites runs the helm-unittest suites of the chart.
func TestSuites(t *testing.T) {
	t.Parallel()
	var output bytes.Buffer
	plain := false
	runner := unittest.TestRunner{Printer: printer.NewPrinter(&output, &plain), TestFiles: []string{"tests/*_test.yaml"}, Strict: true}
	if !runner.RunV3([]string{chartDir}) {
		t.Fatalf("\n%s", &output)
	}
	ran := regexp.MustCompile(`Tests: +(\d+) passed`).FindSubmatch(output.Bytes())
	if ran == nil {
		t.Fatalf("no count of tests in:\n%s", &output)
	}
	if count, err := strconv.Atoi(string(ran[1])); err != nil || count < 50 {
		t.Errorf("only %d tests ran:\n%s", count, &output)
	}
	t.Logf("helm-unittest: %s", ran[0])
}
