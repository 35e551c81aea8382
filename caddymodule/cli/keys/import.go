package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres/admin"
)

func importCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "import [--file keys.csv] [flags]",
		Short: "Imports API keys of another gateway from CSV: their SHA-256, or the keys themselves",
		Long: fmt.Sprintf(`Imports API keys, which then work as they are. The input is CSV, at most %d keys and
%d MiB. Its first line names the columns: sha256 (in hex) or key, and optionally
%s.
Scopes and hostnames are separated by spaces.

The flags are the defaults of columns that are missing or empty. hostnames any, limit
none and expires never override a flag.

Either all lines are imported or, if one is wrong, none. The error then names up to 20
wrong lines, but repeats nothing of them. No key is stored, only its SHA-256 and, of the
column key, its first characters.`, maxKeys, maxBytes>>20, strings.Join(optionalColumns, ", ")),
		Example: `  $ caddy hoko keys import --file keys.csv --workspace acme --scopes conversionsWrite --dry-run
  $ caddy hoko keys import --file keys.csv --workspace acme --scopes conversionsWrite`,
	}, importKeys)
	cmd.Flags().String("file", "", "file to read (default: standard input)")
	addWorkspaceFlag(cmd, "id or name of the workspace that the keys belong to")
	addSettingFlags(cmd)
	cmd.Flags().Bool("dry-run", false, "check everything, but import nothing")
	command.AddJSONFlag(cmd)
	if err := cmd.MarkFlagFilename("file", "csv"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

func importKeys(ctx context.Context, cmd *cobra.Command, dsn string) error {
	if err := command.RejectEmpty(cmd, "file"); err != nil {
		return err
	}
	now := time.Now()
	defaults, burst, err := newKey(cmd, now)
	if err != nil {
		return err
	}
	keys, err := readInput(ctx, cmd, lineReader{defaults: defaults, burst: burst, now: now})
	if err != nil {
		return err
	}
	dryRun, _ := cmd.Flags().GetBool("dry-run")
	if err := admin.ImportKeys(ctx, dsn, keys, dryRun); err != nil {
		return err
	}
	switch {
	case command.AsJSON(cmd):
		return command.PrintJSON(cmd, struct {
			Imported int  `json:"imported"`
			DryRun   bool `json:"dry_run"`
		}{len(keys), dryRun})
	case dryRun:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d keys can be imported; nothing was changed\n", len(keys))
	default:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "imported %d keys\n", len(keys))
	}
	return err
}

func readInput(ctx context.Context, cmd *cobra.Command, lines lineReader) ([]admin.ImportedKey, error) {
	var input io.Reader = cmd.InOrStdin()
	if name := command.Flag(cmd, "file"); name != "" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		defer file.Close()
		input = file
	}
	var keys []admin.ImportedKey
	read := make(chan error, 1)
	go func() { // ends with the input, or with the process if that is interrupted
		var err error
		keys, err = lines.read(input)
		read <- err
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case err := <-read:
		if err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the input has no keys below the line that names the columns")
	}
	return keys, nil
}
