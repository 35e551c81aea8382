package postgres

import (
	"bytes"
	"embed"
	"strings"
)

// ReadQuery returns the SQL of an embedded file without its comments: pg_stat_activity and the server's
// log show the first kilobyte of a statement, which is to be the statement. It panics if there is no
// such file.
func ReadQuery(files embed.FS, name string) string {
	sql, err := files.ReadFile(name)
	if err != nil {
		panic(err) // the name is a constant
	}
	return stripComments(string(sql))
}

// stripComments removes comments and the lines that they leave empty. What is quoted stays as it is:
// literals, also with escapes or in dollars, and names.
func stripComments(sql string) string {
	var out []byte
	for i := 0; i < len(sql); {
		rest, end := sql[i:], 1
		switch {
		case strings.HasPrefix(rest, "--"):
			if end = strings.IndexAny(rest, "\r\n"); end < 0 {
				end = len(rest)
			}
		case strings.HasPrefix(rest, "/*"):
			end = blockComment(rest)
			out = append(out, ' ')
		case rest[0] == '\n':
			out = bytes.TrimRight(out, " \t\r") // none of them is quoted: a quote would follow
			if len(out) > 0 && out[len(out)-1] != '\n' {
				out = append(out, '\n')
			}
		default:
			end = quoted(rest, out)
			out = append(out, rest[:end]...)
		}
		i += end
	}
	return string(bytes.TrimSpace(out))
}

// blockComment returns the length of the comment that sql begins with. Block comments nest.
func blockComment(sql string) int {
	depth := 0
	for i := 0; i < len(sql); i++ {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(sql)
}

// quoted returns the length of what sql begins with, if that is quoted, and else 1. before is what
// stands before it.
func quoted(sql string, before []byte) int {
	switch sql[0] {
	case '\'':
		n := len(before)
		escapes := n > 0 && (before[n-1] == 'E' || before[n-1] == 'e') && (n == 1 || !inName(before[n-2]))
		return literal(sql, escapes)
	case '"':
		return literal(sql, false)
	case '$':
		end := 1 + strings.IndexByte(sql[1:], '$')
		inTag := strings.IndexFunc(sql[1:max(end, 1)], func(r rune) bool { return r < 0x80 && !inName(byte(r)) }) < 0
		if end < 1 || !inTag || '0' <= sql[1] && sql[1] <= '9' || len(before) > 0 && inName(before[len(before)-1]) {
			return 1
		}
		tag := sql[:end+1]
		if i := strings.Index(sql[len(tag):], tag); i >= 0 {
			return i + 2*len(tag)
		}
		return len(sql)
	}
	return 1
}

// literal returns the length of the quoted text that sql begins with.
func literal(sql string, escapes bool) int {
	quote := sql[0]
	for i := 1; i < len(sql); i++ {
		switch {
		case escapes && sql[i] == '\\':
			i++
		case sql[i] != quote:
		case i+1 < len(sql) && sql[i+1] == quote: // doubled
			i++
		default:
			return i + 1
		}
	}
	return len(sql)
}

// inName reports whether a character may stand in an unquoted name.
func inName(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}
