package postgres

import (
	"bytes"
	"embed"
	"strings"
)

// ReadQuery returns the SQL of an embedded file without its comments, so that the first kilobyte of
// a statement, which pg_stat_activity shows, is SQL. It panics if the file does not exist.
func ReadQuery(files embed.FS, name string) string {
	sql, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return stripComments(string(sql))
}

// stripComments removes comments and empty lines. Quoted text stays as it is: string constants,
// also with C-style escapes or dollar quotes, and quoted identifiers.
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
			end = blockCommentLength(rest)
			out = append(out, ' ')
		case rest[0] == '\n':
			out = bytes.TrimRight(out, " \t\r") // not quoted, or a quote would be last
			if len(out) > 0 && out[len(out)-1] != '\n' {
				out = append(out, '\n')
			}
		default:
			end = tokenLength(rest, out)
			out = append(out, rest[:end]...)
		}
		i += end
	}
	return string(bytes.TrimSpace(out))
}

// blockCommentLength returns the length of the comment that sql begins with. Block comments nest.
func blockCommentLength(sql string) int {
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

// tokenLength returns the length of the quoted text that sql begins with, or 1. before is the SQL
// before it.
func tokenLength(sql string, before []byte) int {
	switch sql[0] {
	case '\'':
		n := len(before)
		escapes := n > 0 && (before[n-1] == 'E' || before[n-1] == 'e') && (n == 1 || !isNameByte(before[n-2]))
		return literalLength(sql, escapes)
	case '"':
		return literalLength(sql, false)
	case '$':
		end := 1 + strings.IndexByte(sql[1:], '$')
		notInTag := func(r rune) bool { return r < 0x80 && !isNameByte(byte(r)) }
		if end < 1 || strings.ContainsFunc(sql[1:end], notInTag) || '0' <= sql[1] && sql[1] <= '9' ||
			len(before) > 0 && isNameByte(before[len(before)-1]) {
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

// literalLength returns the length of the quoted text that sql begins with. If escapes is true, a
// backslash escapes the next character.
func literalLength(sql string, escapes bool) int {
	quote := sql[0]
	for i := 1; i < len(sql); i++ {
		switch {
		case escapes && sql[i] == '\\':
			i++
		case sql[i] != quote:
		case i+1 < len(sql) && sql[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(sql)
}

// isNameByte reports whether c may be part of an unquoted identifier.
func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}
