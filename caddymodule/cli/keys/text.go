package keys

import (
	"cmp"
	"strings"
	"time"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
)

// setting is a column of the list, and a line of show.
type setting struct {
	title string
	value command.Cell
}

// settingsOf returns what is printed about a key.
func settingsOf(key admin.KeyInfo, now time.Time) []setting {
	state, color := stateOf(key, now)
	settings := []setting{
		{"ID", command.Cell{Text: key.ID}},
		{"STARTS", command.Cell{Text: key.Start}},
		{"WORKSPACE", command.Cell{Text: admin.WorkspaceText(key.WorkspaceID, key.WorkspaceName)}},
		{"NAME", command.Cell{Text: key.Name}},
		{"STATE", command.Cell{Text: stateText(key, state), Color: color}},
		{"CREATED", command.Cell{Text: command.TimeText(key.CreatedAt)}},
		{"LAST USED", command.Cell{Text: command.TimeText(key.LastUsedAt)}},
		{"LIMIT", command.Cell{Text: key.Limit.String()}},
		{"SCOPES", command.Cell{Text: strings.Join(key.Scopes, ",")}},
		{"HOSTNAMES", command.Cell{Text: strings.Join(key.Hostnames, ",")}},
	}
	for i := range settings {
		text := &settings[i].value.Text
		*text = cmp.Or(admin.Printable(*text), "-")
	}
	return settings
}

func titles(settings []setting) (row []command.Cell) {
	for _, s := range settings {
		row = append(row, command.Cell{Text: s.title})
	}
	return row
}

func values(settings []setting) (row []command.Cell) {
	for _, s := range settings {
		row = append(row, s.value)
	}
	return row
}

// The states of a key, in the order in which edges check them.
const (
	revoked           = "revoked"
	expired           = "expired"
	workspaceDisabled = "workspace_disabled"
	valid             = "valid"
)

func stateOf(key admin.KeyInfo, now time.Time) (string, command.Color) {
	switch {
	case !key.RevokedAt.IsZero():
		return revoked, command.Red
	case !key.ExpiresAt.IsZero() && !key.ExpiresAt.After(now):
		return expired, command.Red
	case key.WorkspaceDisabled:
		return workspaceDisabled, command.Red
	default:
		return valid, command.Green
	}
}

func stateText(key admin.KeyInfo, state string) string {
	switch {
	case state == revoked:
		return "revoked " + command.TimeText(key.RevokedAt)
	case state == expired:
		return "expired " + command.TimeText(key.ExpiresAt)
	case state == workspaceDisabled:
		return "workspace disabled"
	case key.ExpiresAt.IsZero():
		return "valid"
	default:
		return "valid until " + command.TimeText(key.ExpiresAt)
	}
}

// keyJSON is a key as --json prints it.
type keyJSON struct {
	ID            string     `json:"id"`
	Start         string     `json:"start"`
	WorkspaceID   string     `json:"workspace_id"`
	WorkspaceName string     `json:"workspace_name"`
	Name          string     `json:"name"`
	State         string     `json:"state"`
	Scopes        []string   `json:"scopes"`
	Hostnames     []string   `json:"hostnames"` // empty: any
	Limit         *string    `json:"limit"`     // what --limit takes, such as 600/1m
	Burst         *int       `json:"burst"`     // what --burst takes
	CreatedAt     *time.Time `json:"created_at"`
	LastUsedAt    *time.Time `json:"last_used_at"`
	ExpiresAt     *time.Time `json:"expires_at"`
	RevokedAt     *time.Time `json:"revoked_at"`
}

func newKeyJSON(key admin.KeyInfo, now time.Time) keyJSON {
	state, _ := stateOf(key, now)
	k := keyJSON{
		ID: key.ID, Start: key.Start, WorkspaceID: key.WorkspaceID, WorkspaceName: key.WorkspaceName, Name: key.Name,
		State: state, Scopes: append([]string{}, key.Scopes...), Hostnames: append([]string{}, key.Hostnames...),
		CreatedAt: command.TimeJSON(key.CreatedAt), LastUsedAt: command.TimeJSON(key.LastUsedAt),
		ExpiresAt: command.TimeJSON(key.ExpiresAt), RevokedAt: command.TimeJSON(key.RevokedAt),
	}
	if l := key.Limit; l != (limit.Limit{}) {
		text := limit.Limit{Rate: l.Rate, Period: l.Period, Burst: l.Rate}.String()
		k.Limit, k.Burst = &text, &l.Burst
	}
	return k
}
