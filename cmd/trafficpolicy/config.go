package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

func (c *command) configCmd(common *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the settings in force, in the form of a project file",
		Long: `Print the settings in force, in the form of a project file.

A file ` + projectFile + ` in the working directory, or above it up to the root of
the repository, holds defaults for flags: those of every command at the top,
those of one command in a section of its name. Paths are relative to the file.
What the command line sets counts before it.

    filename: [policies]
    inventory: [cluster.json]
    lint:
      fail-on: warning
      disable: [TP502]`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			path, err := findProject(dir)
			if err != nil {
				return err
			}
			if path == "" {
				path = "none"
			}
			settings := map[string]any{}
			collect(settings, cmd.Root().PersistentFlags())
			for _, sub := range cmd.Root().Commands() {
				// A section is applied when its command runs; here it is applied to be shown.
				if err := applyProject(sub, nil); err != nil {
					return err
				}
				section := map[string]any{}
				collect(section, sub.LocalNonPersistentFlags())
				if len(section) > 0 && slices.Contains(commandNames(cmd.Root()), sub.Name()) {
					settings[sub.Name()] = section
				}
			}
			if err := checkSettings(cmd.Root(), common); err != nil {
				return err
			}
			text, err := yaml.Marshal(settings)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.Stdout, "# project file: %s\n%s", path, text)
			return err
		},
	}
}

// checkSettings refuses what lint would refuse: flags of every command, and its own.
func checkSettings(root *cobra.Command, common *commonFlags) error {
	lint, _, err := root.Find([]string{"lint"})
	if err != nil {
		return err
	}
	f := lintFlags{commonFlags: common}
	var errs []error
	text := func(name string) string {
		v, err := lint.Flags().GetString(name)
		errs = append(errs, err)
		return v
	}
	list := func(name string) []string {
		v, err := lint.Flags().GetStringSlice(name)
		errs = append(errs, err)
		return v
	}
	f.output, f.failOn, f.baseline, f.poseidon = text("output"), text("fail-on"), text("baseline"), text("poseidon-version")
	f.only, f.disable = list("only"), list("disable")
	_, _, err = f.options(nil)
	return errors.Join(append(errs, err)...)
}

// collect adds the values of fs that a project file may set and that are not empty.
func collect(into map[string]any, fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(neverDefault, f.Name) {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			if v := list.GetSlice(); len(v) > 0 {
				into[f.Name] = v
			}
			return
		}
		if v := f.Value.String(); v != "" && v != "false" {
			into[f.Name] = v
		}
	})
}
