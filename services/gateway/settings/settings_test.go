package settings

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func none(string) (string, bool) { return "", false }

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	environment := map[string]string{
		"CLIPPER_GATEWAY_FRONTEND": "a:1", "CLIPPER_GATEWAY_GRACE_S": "0.5", "CLIPPER_GATEWAY_MANAGER": "m:1,n:2",
	}
	lookup := func(name string) (string, bool) { value, ok := environment[name]; return value, ok }
	s, err := Parse([]string{"--frontend", "b:2"}, lookup, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if s.Frontend != "b:2" || s.Manager != "m:1,n:2" || s.Grace != 500*time.Millisecond || s.QueryListen != "127.0.0.1:1337" {
		t.Errorf("%+v", s)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for flag, want := range map[string]string{
		"--no-such": "--no-such", "--grace-s=x": "--grace-s", "--grace-s=-1": "--grace-s", "--frontend=7000": "--frontend",
		"--manager=": "--manager", "--query-listen=here": "--query-listen", "--log-level=loud": "--log-level",
		"--max-body-bytes=0": "--max-body-bytes", "--frontend-connections=0": "--frontend-connections", "more": "more",
		"--idle-timeout-s=1e300": "--idle-timeout-s",
	} {
		if _, err := Parse([]string{flag}, none, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	lookup := func(name string) (string, bool) { return "many", name == "CLIPPER_GATEWAY_MAX_BODY_BYTES" }
	if _, err := Parse(nil, lookup, io.Discard); err == nil || !strings.Contains(err.Error(), "CLIPPER_GATEWAY_MAX_BODY_BYTES") {
		t.Error(err)
	}
}

func TestHelpShowsExamplesAndEveryFlag(t *testing.T) {
	var help strings.Builder
	if _, err := Parse([]string{"--help"}, none, &help); !errors.Is(err, ErrHelp) {
		t.Fatal(err)
	}
	for _, want := range []string{"Examples:", "--frontend HOST:PORT", "--ready-fd N", "--version\n", "(default 10)"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("no %q in\n%s", want, help.String())
		}
	}
}
