// Reads a compose file as Compose v2 does, by the library that Compose v2 is built on, and prints the names of its
// services, one a line.
//
//	go run . ../../deploy/compose.yaml
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string) error {
	options, err := cli.NewProjectOptions(
		[]string{file}, cli.WithName("check"), cli.WithOsEnv, cli.WithProfiles([]string{"*"}),
	)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return err
	}
	names := project.ServiceNames()
	slices.Sort(names)
	for _, name := range names {
		fmt.Println(name)
	}
	return nil
}
