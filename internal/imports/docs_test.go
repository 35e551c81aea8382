package imports

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	fenced       = regexp.MustCompile("(?ms)^```.*?^```$")
	inlineCode   = regexp.MustCompile("`[^`]+`")
	mdLink       = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	mdHeading    = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	testFunction = regexp.MustCompile(`(?m)^func Test\w+`)
	external     = regexp.MustCompile(`^[a-z]+:`)
	// namedFile matches inline code that names a file of this tree, and namedPage a page that a
	// source file names.
	namedFile = regexp.MustCompile(`^(?:bench|caddymodule|cmd|docs|e2e|examples|internal|plugin|script)(?:/[\w.-]+)+$`)
	namedPage = regexp.MustCompile(`docs/[\w-]+\.(?:md|sql)\b`)
)

func TestDocs_LinksResolve(t *testing.T) {
	links, anchorsOf := 0, map[string]map[string]bool{}
	eachPage(t, func(name, text string) { anchorsOf[name] = anchors(text) })
	eachPage(t, func(name, text string) {
		text = blank(inlineCode, blank(fenced, text))
		for _, link := range mdLink.FindAllStringSubmatchIndex(text, -1) {
			target := text[link[2]:link[3]]
			if external.MatchString(target) {
				continue
			}
			links++
			file, anchor, hasAnchor := strings.Cut(target, "#")
			if file == "" {
				file = name
			} else {
				file = path.Join(path.Dir(name), file)
			}
			if !exists(file) || hasAnchor && !anchorsOf[file][anchor] {
				t.Errorf("%s:%d: %s does not resolve", name, lineOf(text, link[0]), target)
			}
		}
	})
	if links < 100 {
		t.Errorf("found only %d relative links", links)
	}
}

func TestDocs_NamedFilesExist(t *testing.T) {
	eachFile(t, func(name string) {
		text := read(t, name)
		for _, page := range namedPage.FindAllString(text, -1) {
			if !exists(page) {
				t.Errorf("%s names %s, which does not exist", name, page)
			}
		}
		if path.Ext(name) != ".md" {
			return
		}
		for _, code := range inlineCode.FindAllString(blank(fenced, text), -1) {
			file := strings.Trim(code, "`")
			if namedFile.MatchString(file) && !strings.Contains(file, "NNN") && !exists(file) {
				t.Errorf("%s names %s, which does not exist", name, file)
			}
		}
	})
}

// A command that selects no test succeeds and runs nothing.
func TestDocs_CommandsSelectExistingTests(t *testing.T) {
	var tests strings.Builder
	eachFile(t, func(name string) {
		if strings.HasSuffix(name, "_test.go") {
			tests.WriteString(strings.Join(testFunction.FindAllString(read(t, name), -1), "\n") + "\n")
		}
	})
	selected := 0
	eachPage(t, func(name, text string) {
		for _, selection := range regexp.MustCompile(`-run '?(\w+)`).FindAllStringSubmatch(text, -1) {
			selected++
			if !strings.Contains(tests.String(), selection[1]) {
				t.Errorf("%s selects %s, which no test is named", name, selection[1])
			}
		}
	})
	if selected == 0 {
		t.Error("no page selects a test")
	}
}

func TestDocs_Anchors(t *testing.T) {
	got := anchors("# `hoko`: the [global](x.md) option\n## 4. What the edge's writes\n" +
		"## 201\n```\n# comment\n```\n## 201\n")
	for _, want := range []string{"hoko-the-global-option", "4-what-the-edges-writes", "201", "201-1"} {
		if !got[want] {
			t.Errorf("no anchor %s in %v", want, got)
		}
	}
	if got["comment"] {
		t.Error("a line of code is an anchor")
	}
}

const american = "the American spelling"

// leftOut lists words that make a native reader stop, and what to write instead. A space matches
// the end of a line, too.
var leftOut = map[string]string{
	`nobody|somebody|anybody|everybody|strangers?`: "no client, another session, every caller",
	`at once`:                            "immediately, or at the same time",
	`mend(?:s|ed|ing)?`:                  "fix",
	`(?:tell|tells|told)(?: \w+)? apart`: "distinguish",
	`for ever`:                           "forever",
	`so many`:                            "at most N",
	`(?:is|are) had|to be had`:           "is used, is missing, cannot acquire",
	`of (?:its|their|your) own`:          "its own, or separate",
	`shall|(?:is|are) to`:                "must, should, may",
	`what waits`:                         "backlog, queue length, expected wait",
	`tenants?|markets?|neighbors?`:       "workspace",
	`neighbours?|behaviours?|colours?|favours?|honours?|licences?`:             american,
	`(?:cancel|label|model|signal)l(?:ed|ing)`:                                 american,
	`(?:recogn|normal|serial|organ|initial|author)is(?:e[ds]?|ing|ation)`:      american,
	`(?:synchron|minim|maxim|optim|summar|util|priorit)is(?:e[ds]?|ing|ation)`: american,
}

func TestDocs_PlainWords(t *testing.T) {
	all := strings.Join(slices.Collect(maps.Keys(leftOut)), "|")
	pattern := regexp.MustCompile(`(?i)\b(?:` + strings.ReplaceAll(all, " ", `\s+`) + `)\b`)
	eachPage(t, func(name, text string) {
		for _, found := range pattern.FindAllStringIndex(text, -1) {
			words := strings.ToLower(strings.Join(strings.Fields(text[found[0]:found[1]]), " "))
			for left, instead := range leftOut {
				if regexp.MustCompile(`^(?:` + left + `)$`).MatchString(words) {
					t.Errorf("%s:%d: %q: write %s", name, lineOf(text, found[0]), words, instead)
				}
			}
		}
	})
}

// eachPage visits the tree's Markdown files.
func eachPage(t *testing.T, visit func(name, text string)) {
	t.Helper()
	eachFile(t, func(name string) {
		if path.Ext(name) == ".md" {
			visit(name, read(t, name))
		}
	})
}

// anchors returns the fragments of a page's headings by GitHub's rule: in lower case, spaces as
// hyphens, without punctuation, and numbered from the second of equal ones on.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, heading := range mdHeading.FindAllStringSubmatch(blank(fenced, page), -1) {
		text := regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(heading[1], "$1")
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, text)
		for first, n := anchor, 1; found[anchor]; n++ {
			anchor = first + "-" + string(rune('0'+n))
		}
		found[anchor] = true
	}
	return found
}

// blank replaces what pattern matches by spaces, so that offsets and lines stay the same.
func blank(pattern *regexp.Regexp, text string) string {
	blanked := []byte(text)
	for _, match := range pattern.FindAllStringIndex(text, -1) {
		for i := match[0]; i < match[1]; i++ {
			if blanked[i] != '\n' {
				blanked[i] = ' '
			}
		}
	}
	return string(blanked)
}

func lineOf(text string, offset int) int { return 1 + strings.Count(text[:offset], "\n") }

func exists(name string) bool {
	_, err := fs.Stat(os.DirFS(root), path.Clean(name))
	return err == nil
}
