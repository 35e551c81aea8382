package workspaces

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
)

// document is a workspace in JSON. docs/commands.md describes its members.
type document struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	State      string     `json:"state"`
	DisabledAt *time.Time `json:"disabled_at"`
	Limit      *string    `json:"limit"`
	Burst      *int       `json:"burst"`
	ValidKeys  int64      `json:"valid_keys"`
	CreatedAt  *time.Time `json:"created_at"`
}

func newDocument(w admin.WorkspaceInfo) document {
	d := document{ID: w.ID, Name: w.Name, State: state(w), ValidKeys: w.ValidKeys,
		DisabledAt: command.TimeJSON(w.DisabledAt), CreatedAt: command.TimeJSON(w.CreatedAt)}
	if w.Limit != (limit.Limit{}) {
		perPeriod := limit.Limit{Rate: w.Limit.Rate, Period: w.Limit.Period, Burst: w.Limit.Rate}.String()
		d.Limit, d.Burst = &perPeriod, &w.Limit.Burst
	}
	return d
}

func state(w admin.WorkspaceInfo) string {
	if w.Disabled {
		return "disabled"
	}
	return "enabled"
}

func printDocuments(cmd *cobra.Command, all []admin.WorkspaceInfo) error {
	list := struct {
		Workspaces []document `json:"workspaces"`
	}{make([]document, len(all))}
	for i, w := range all {
		list.Workspaces[i] = newDocument(w)
	}
	return command.PrintJSON(cmd, list)
}

func printTable(cmd *cobra.Command, all []admin.WorkspaceInfo) error {
	rows := [][]command.Cell{{{Text: "ID"}, {Text: "NAME"}, {Text: "STATE"}, {Text: "LIMIT"}, {Text: "VALID KEYS"},
		{Text: "CREATED"}}}
	for _, w := range all {
		color := command.Green
		if w.Disabled {
			color = command.Red
		}
		rows = append(rows, []command.Cell{
			{Text: admin.Printable(w.ID)}, {Text: cmp.Or(admin.Printable(w.Name), "-")},
			{Text: stateText(w), Color: color}, {Text: cmp.Or(w.Limit.String(), "-")},
			{Text: strconv.FormatInt(w.ValidKeys, 10)}, {Text: cmp.Or(command.TimeText(w.CreatedAt), "-")},
		})
	}
	return command.WriteTable(cmd.OutOrStdout(), rows)
}

// stateText returns the state and, if it is known, since when a workspace is disabled.
func stateText(w admin.WorkspaceInfo) string {
	return strings.TrimSpace(state(w) + " " + command.TimeText(w.DisabledAt))
}

// printResult prints a workspace after a command: as JSON, or as the sentence.
func printResult(cmd *cobra.Command, w admin.WorkspaceInfo, sentence string) error {
	if command.AsJSON(cmd) {
		return command.PrintJSON(cmd, newDocument(w))
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), sentence)
	return err
}

// named returns a workspace for a sentence.
func named(w admin.WorkspaceInfo) string { return "workspace " + admin.WorkspaceText(w.ID, w.Name) }

func limitOf(w admin.WorkspaceInfo) string {
	if w.Limit == (limit.Limit{}) {
		return "its keys have the limit of the route"
	}
	return "each of its keys has the limit " + w.Limit.String()
}
