package report

import (
	"strings"
	"testing"
	"time"
)

func TestATableIsMarkdownAndAligned(t *testing.T) {
	var text strings.Builder
	Table{Title: "T", Note: "N.", Head: []string{"", "µ"}, Rows: [][]string{{"üüüü", "10"}, {"abc", ""}}}.write(&text)
	want := "\n## T\n\nN.\n\n|      |  µ |\n|------|---:|\n| üüüü | 10 |\n| abc  |    |\n"
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &text, want)
	}
}

func TestARunThatIsNotJudgedHasNoVerdict(t *testing.T) {
	for _, judged := range []bool{true, false} {
		r := Report{Judged: judged, Bars: []Bar{{"sales", Figure{1, 1, 1}, Times, AtLeast(2), Bound{}}}}
		text := r.text(time.Unix(0, 0))
		if got := strings.Contains(text, "short"); got != judged {
			t.Errorf("judged %v: verdict %v", judged, got)
		}
	}
}

func TestResultsKeepWhatIsNotMeasuredAnew(t *testing.T) {
	now := time.Unix(0, 0)
	bars := (&Report{Bars: []Bar{{What: "new bars"}}}).text(now)
	scale := (&Report{Scale: []Table{{Title: "new scale"}}}).text(now)
	const before = "# Results\n\nold bars\n\n# Scale\n\nold scale\n"
	for _, tc := range []struct {
		name, before, text string
		has, lacks         []string
	}{
		{"bars over nothing", "", bars, []string{"new bars"}, []string{"# Scale"}},
		{"bars over both", before, bars, []string{"new bars", "old scale"}, []string{"old bars"}},
		{"scale over both", before, scale, []string{"old bars", "new scale"}, []string{"old scale"}},
		{"both over both", before, bars + scale, []string{"new bars", "new scale"}, []string{"old bars", "old scale"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := merge(tc.before, tc.text)
			for _, text := range tc.has {
				if strings.Count(got, text) != 1 {
					t.Errorf("not once %q in\n%s", text, got)
				}
			}
			for _, text := range tc.lacks {
				if strings.Contains(got, text) {
					t.Errorf("%q in\n%s", text, got)
				}
			}
		})
	}
}

func TestMergingTwiceChangesNothing(t *testing.T) {
	const both = "# Results\n\nbars\n\n# Scale\n\nscale\n"
	if got := merge(both, both); got != both {
		t.Errorf("%q", got)
	}
}
