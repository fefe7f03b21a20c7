// Package settings reads the gateway's settings from flags and CLIPPER_GATEWAY_… variables; flags win.
package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"time"

	"github.com/clipper-serve/clipper/services/gateway/logs"
)

// Settings are what an operator can choose.
type Settings struct {
	Frontend, Manager        string
	QueryListen, AdminListen string
	FrontendConnections      int
	MaxBodyBytes             int64
	MaxMessageBytes          int
	HeaderTimeout            time.Duration
	BodyTimeout              time.Duration
	IdleTimeout              time.Duration
	DrainDelay, Grace        time.Duration
	LogLevel                 string
	ReadyFD                  int
	ShowVersion              bool
	Healthcheck              bool
}

const prefix = "CLIPPER_GATEWAY_"

const intro = `Clipper's gateway: REST for queries and for administration, translated to gRPC.

Usage: clipper-gateway [flags]

Examples:
  clipper-gateway
      serves queries on 127.0.0.1:1337 and administration on 127.0.0.1:1338
  clipper-gateway --query-listen 0.0.0.0:1337 --frontend 10.0.0.5:7000,10.0.0.6:7000
      serves queries to other machines, from two frontends
  clipper-gateway --query-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0
      picks free ports and logs them

  curl 127.0.0.1:1337/healthz
  curl 127.0.0.1:1337/openapi.json
  curl -d '{"input": [1.1, 2.2, 3.3]}' 127.0.0.1:1337/hello-world/predict

Flags, each also as a variable such as ` + prefix + `QUERY_LISTEN:
`

// ErrHelp says that help was asked for, and has been printed.
var ErrHelp = flag.ErrHelp

// Parse reads flags and the environment. Help goes to output. An error says what is wrong, for people.
func Parse(arguments []string, lookup func(string) (string, bool), output io.Writer) (*Settings, error) {
	s := &Settings{}
	set := flag.NewFlagSet("clipper-gateway", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&s.Frontend, "frontend", "127.0.0.1:7000", "the frontend, `HOST:PORT`, or several with commas between")
	set.StringVar(&s.Manager, "manager", "127.0.0.1:7001", "the manager, `HOST:PORT`, or several with commas between")
	set.StringVar(&s.QueryListen, "query-listen", "127.0.0.1:1337", "where queries are taken, `HOST:PORT`; port 0 picks a free one")
	set.StringVar(&s.AdminListen, "admin-listen", "127.0.0.1:1338", "where administration is taken, `HOST:PORT`; port 0 picks a free one")
	set.IntVar(&s.FrontendConnections, "frontend-connections", 2, "connections to each frontend; more reach more of its workers, `N`")
	set.Int64Var(&s.MaxBodyBytes, "max-body-bytes", 32<<20, "the largest body of a request, in `BYTES`; larger is answered with 413")
	set.IntVar(&s.MaxMessageBytes, "max-message-bytes", 64<<20, "the largest gRPC message, in `BYTES`; the frontend has the same limit")
	seconds(set, &s.HeaderTimeout, "header-timeout-s", 5, "how long the headers of a request may take to arrive, in `SECONDS`")
	seconds(set, &s.BodyTimeout, "body-timeout-s", 300, "how long a whole request may take to arrive, in `SECONDS`")
	seconds(set, &s.IdleTimeout, "idle-timeout-s", 120, "how long a connection without a request stays open, in `SECONDS`")
	seconds(set, &s.DrainDelay, "drain-delay-s", 0, "when stopping, how long to go on while /healthz says 503 already, in `SECONDS`")
	seconds(set, &s.Grace, "grace-s", 10, "when stopping, how long requests under way may take to end, in `SECONDS`")
	set.StringVar(&s.LogLevel, "log-level", "info", "the least that is logged: debug, info, warning or error, as `LEVEL`")
	set.IntVar(&s.ReadyFD, "ready-fd", -1, "an inherited file descriptor that gets one JSON line once the ports listen, `N`")
	set.BoolVar(&s.Healthcheck, "healthcheck", false, "ask the gateway that runs with these settings whether it serves, and exit with 0 if it does")
	set.BoolVar(&s.ShowVersion, "version", false, "print the version and exit")

	err := set.Parse(arguments)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(output, intro)
		printFlags(set, output)
		return nil, ErrHelp
	}
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), " -", " --")) // the flag package writes one hyphen
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if err := readEnvironment(set, lookup); err != nil {
		return nil, err
	}
	return s, s.check()
}

func readEnvironment(set *flag.FlagSet, lookup func(string) (string, bool)) error {
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var failed error
	set.VisitAll(func(f *flag.Flag) {
		name := prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := lookup(name); ok && value != "" && !given[f.Name] && failed == nil {
			if err := set.Set(f.Name, value); err != nil {
				failed = fmt.Errorf("invalid value %q for %s: %w", value, name, err)
			}
		}
	})
	return failed
}

func (s *Settings) check() error {
	for name, addresses := range map[string]string{"frontend": s.Frontend, "manager": s.Manager} {
		for address := range strings.SplitSeq(addresses, ",") {
			if _, port, err := net.SplitHostPort(strings.TrimSpace(address)); err != nil || port == "" {
				return fmt.Errorf("invalid value %q for flag --%s: not HOST:PORT, such as 127.0.0.1:7000", addresses, name)
			}
		}
	}
	for name, address := range map[string]string{"query-listen": s.QueryListen, "admin-listen": s.AdminListen} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("invalid value %q for flag --%s: not HOST:PORT, such as 127.0.0.1:1337", address, name)
		}
	}
	if _, ok := logs.Levels[s.LogLevel]; !ok {
		return fmt.Errorf("invalid value %q for flag --log-level: there are debug, info, warning and error", s.LogLevel)
	}
	for name, value := range map[string]int64{
		"max-body-bytes": s.MaxBodyBytes, "max-message-bytes": int64(s.MaxMessageBytes), "frontend-connections": int64(s.FrontendConnections),
	} {
		if value < 1 {
			return fmt.Errorf("invalid value %d for flag --%s: at least 1", value, name)
		}
	}
	return nil
}

// durationValue is a flag in seconds.
type durationValue struct{ into *time.Duration }

func seconds(set *flag.FlagSet, into *time.Duration, name string, value float64, usage string) {
	*into = time.Duration(value * float64(time.Second))
	set.Var(durationValue{into}, name, usage)
}

func (v durationValue) String() string {
	if v.into == nil {
		return "0"
	}
	return fmt.Sprint(v.into.Seconds())
}

func (v durationValue) Set(text string) error {
	var value float64
	if _, err := fmt.Sscanf(text+"\n", "%g\n", &value); err != nil || value < 0 || value > 1e9 || math.IsNaN(value) {
		return errors.New("not a number of seconds")
	}
	*v.into = time.Duration(value * float64(time.Second))
	return nil
}

func printFlags(set *flag.FlagSet, output io.Writer) {
	set.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		usage = strings.NewReplacer(", in "+kind, "", ", as "+kind, "", ", "+kind, "").Replace(usage)
		fmt.Fprintf(output, "  %s\n      %s", strings.TrimSpace("--"+f.Name+" "+kind), usage)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "-1" {
			fmt.Fprintf(output, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(output)
	})
}
