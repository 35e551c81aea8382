package report

import (
	"strings"
	"testing"
	"time"
)

func TestTable_AlignedMarkdown(t *testing.T) {
	var text strings.Builder
	Table{Title: "T", Note: "N.", Head: []string{"", "µ"}, Rows: [][]string{{"üüüü", "10"}, {"abc", ""}}}.write(&text)
	want := "\n## T\n\nN.\n\n|      |  µ |\n|------|---:|\n| üüüü | 10 |\n| abc  |    |\n"
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &text, want)
	}
}

func TestReport_VerdictOnlyIfJudged(t *testing.T) {
	for _, judged := range []bool{true, false} {
		target := Target{"sales", Figure{1, 1, 1}, Times, AtLeast(2), Bound{}}
		text := (&Report{Judged: judged, Targets: []Target{target}}).text(time.Unix(0, 0))
		if got := strings.Contains(text, "missed"); got != judged {
			t.Errorf("judged %v: has a verdict %v", judged, got)
		}
	}
}

func TestMerge_KeepsPartsNotMeasured(t *testing.T) {
	now := time.Unix(0, 0)
	targets := (&Report{Targets: []Target{{Name: "new targets"}}}).text(now)
	scale := (&Report{Scale: []Table{{Title: "new scale"}}}).text(now)
	const before = "# Results\n\nold targets\n\n# Scale\n\nold scale\n"
	for _, tc := range []struct {
		name, before, text string
		has, lacks         []string
	}{
		{"targets over nothing", "", targets, []string{"new targets"}, []string{"# Scale"}},
		{"targets over both", before, targets, []string{"new targets", "old scale"}, []string{"old targets"}},
		{"scale over both", before, scale, []string{"old targets", "new scale"}, []string{"old scale"}},
		{"both over both", before, targets + scale, []string{"new targets", "new scale"},
			[]string{"old targets", "old scale"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := merge(tc.before, tc.text)
			for _, text := range tc.has {
				if strings.Count(got, text) != 1 {
					t.Errorf("want %q once in\n%s", text, got)
				}
			}
			for _, text := range tc.lacks {
				if strings.Contains(got, text) {
					t.Errorf("want no %q in\n%s", text, got)
				}
			}
		})
	}
}

func TestMerge_Idempotent(t *testing.T) {
	const both = "# Results\n\ntargets\n\n# Scale\n\nscale\n"
	if got := merge(both, both); got != both {
		t.Errorf("%q, want %q", got, both)
	}
}
