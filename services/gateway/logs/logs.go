// Package logs writes one JSON object per line, in the same form as the other processes of a cluster: time, level,
// process, pid, event, and the fields of the event. Nothing is logged per query; payloads never.
package logs

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Levels are the names of levels.
var Levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "error": slog.LevelError,
}

const timeFormat = "2006-01-02T15:04:05.000-07:00"

// New makes a logger of this process.
func New(to io.Writer, level slog.Level) *slog.Logger {
	handler := slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: rename})
	return slog.New(handler).With("process", "gateway", "pid", os.Getpid())
}

func rename(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return attribute
	}
	switch attribute.Key {
	case slog.TimeKey:
		return slog.String("time", attribute.Value.Time().UTC().Format(timeFormat))
	case slog.LevelKey:
		name := strings.ToLower(attribute.Value.String())
		if name == "warn" {
			name = "warning"
		}
		return slog.String("level", name)
	case slog.MessageKey:
		return slog.Attr{Key: "event", Value: attribute.Value}
	}
	if attribute.Value.Kind() == slog.KindDuration {
		return slog.String(attribute.Key, attribute.Value.Duration().Round(time.Microsecond).String())
	}
	return attribute
}
