package release_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

func TestAnswerIsWrittenInSeconds(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal([]release.Answer{{Check: "home", Latency: 1500 * time.Millisecond}})
	if err != nil || !strings.Contains(string(text), `"latencySeconds":1.5`) || strings.Contains(string(text), "1500000000") {
		t.Errorf("got %s, %v", text, err)
	}
}
