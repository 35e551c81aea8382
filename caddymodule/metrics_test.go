package caddymodule

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"
)

// families returns the edge's metrics in the running config's registry, by name.
func families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	ctx := caddy.ActiveContext()
	all, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]*dto.MetricFamily{}
	for _, family := range all {
		if strings.HasPrefix(family.GetName(), "hoko_") {
			own[family.GetName()] = family
		}
	}
	return own
}

// seriesOf returns the series of the edge's metrics, as in a query.
func seriesOf(t *testing.T) (all []string) {
	t.Helper()
	for name, family := range families(t) {
		for _, sample := range family.GetMetric() {
			all = append(all, name+labelsOf(sample))
		}
	}
	slices.Sort(all)
	return all
}

func labelsOf(sample *dto.Metric) string {
	var labels []string
	for _, label := range sample.GetLabel() {
		labels = append(labels, label.GetName()+"="+label.GetValue())
	}
	slices.Sort(labels)
	return "{" + strings.Join(labels, ",") + "}"
}

// documented is a metric in docs/metrics.md.
type documented struct {
	kind   string
	labels map[string][]string // the values of each label, sorted
}

var (
	metricRow = regexp.MustCompile("^\\| `(hoko_\\w+)(?:\\{([\\w,]+)\\})?` \\| (counter|gauge|histogram)\\b")
	labelRow  = regexp.MustCompile("^\\| `(hoko_\\w+)` \\| `(\\w+)` \\| (.+) \\|$")
	quoted    = regexp.MustCompile("`([^`]+)`")
	explained = regexp.MustCompile(`\([^)]*\)`) // what a value means
)

// documentedMetrics returns the metrics in docs/metrics.md.
func documentedMetrics(t *testing.T) map[string]documented {
	t.Helper()
	all := map[string]documented{}
	for line := range strings.Lines(readDoc(t, "metrics.md")) {
		line = strings.TrimSpace(line)
		if row := metricRow.FindStringSubmatch(line); row != nil {
			if _, twice := all[row[1]]; twice {
				t.Errorf("docs/metrics.md describes %s twice", row[1])
			}
			labels := map[string][]string{}
			for label := range strings.SplitSeq(row[2], ",") {
				if label != "" {
					labels[label] = nil
				}
			}
			all[row[1]] = documented{row[3], labels}
		} else if row := labelRow.FindStringSubmatch(line); row != nil {
			if _, ok := all[row[1]].labels[row[2]]; !ok {
				t.Errorf("docs/metrics.md has values of %s{%s}, but no such metric before", row[1], row[2])
				continue
			}
			for _, value := range quoted.FindAllStringSubmatch(explained.ReplaceAllString(row[3], ""), -1) {
				all[row[1]].labels[row[2]] = append(all[row[1]].labels[row[2]], value[1])
			}
			slices.Sort(all[row[1]].labels[row[2]])
		}
	}
	return all
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The labels of hoko_build_info, and the names of limits, are no closed sets.
func TestMetrics_DocsMatchTheEdge(t *testing.T) {
	startEdge(t, saleRoutes)
	docs, exported := documentedMetrics(t), families(t)
	for name, family := range exported {
		doc, ok := docs[name]
		if !ok {
			t.Errorf("docs/metrics.md lacks %s", name)
			continue
		}
		if kind := strings.ToLower(family.GetType().String()); doc.kind != kind {
			t.Errorf("docs/metrics.md calls %s a %s, but it is a %s", name, doc.kind, kind)
		}
		values := map[string][]string{}
		for _, sample := range family.GetMetric() {
			for _, label := range sample.GetLabel() {
				values[label.GetName()] = append(values[label.GetName()], label.GetValue())
			}
		}
		for label, got := range values {
			slices.Sort(got)
			got = slices.Compact(got)
			if want := doc.labels[label]; name != "hoko_build_info" && label != "limit" && !slices.Equal(got, want) {
				t.Errorf("%s{%s} has the values %q, docs/metrics.md has %q", name, label, got, want)
			}
		}
		for label := range doc.labels {
			if values[label] == nil {
				t.Errorf("%s has no label %s", name, label)
			}
		}
		for label := range values {
			if _, ok := doc.labels[label]; !ok {
				t.Errorf("docs/metrics.md lacks the label %s of %s", label, name)
			}
		}
	}
	for name := range docs {
		if exported[name] == nil {
			t.Errorf("docs/metrics.md describes %s, which the edge does not export", name)
		}
	}
	if t.Failed() {
		t.Logf("exported: %q", slices.Sorted(maps.Keys(exported)))
	}
}

// The directive metrics, which docs/metrics.md shows, serves the edge's metrics too.
func TestMetrics_ServedByCaddysDirective(t *testing.T) {
	e := startEdge(t, "metrics")
	if got := e.send("GET", "/metrics", nil, ""); !strings.Contains(got.body, "\nhoko_backends 1\n") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// alertRules returns the rules in docs/metrics.md.
func alertRules(t *testing.T) (rules []alertRule) {
	t.Helper()
	_, text, _ := strings.Cut(readDoc(t, "metrics.md"), "\n```yaml\n")
	text, _, _ = strings.Cut(text, "\n```\n")
	var file struct {
		Groups []struct {
			Name  string
			Rules []alertRule
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

type alertRule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

var (
	exprMetric  = regexp.MustCompile(`(hoko_\w+)(?:\{(\w+)="(\w+)"\})?`)
	exprBy      = regexp.MustCompile(`\bby \(([\w, ]+)\)`)
	promDefault = []string{"instance", "le"} // of all metrics, and of histograms
	alertNames  = regexp.MustCompile("`(Hoko[A-Z]\\w+)`")
)

func TestAlertRules_NameMetricsAndLabels(t *testing.T) {
	docs, rules := documentedMetrics(t), alertRules(t)
	alerts := map[string]bool{}
	for _, rule := range rules {
		if rule.Alert == "" || alerts[rule.Alert] || rule.Annotations["summary"] == "" ||
			!slices.Contains([]string{"page", "ticket"}, rule.Labels["severity"]) {
			t.Errorf("rule %+v lacks something, or there are two", rule)
		}
		alerts[rule.Alert] = true
		if _, err := time.ParseDuration(rule.For); rule.For != "" && err != nil {
			t.Errorf("%s: %v", rule.Alert, err)
		}
		if strings.Count(rule.Expr, "(") != strings.Count(rule.Expr, ")") {
			t.Errorf("%s: parentheses do not match in %s", rule.Alert, rule.Expr)
		}
		used := exprMetric.FindAllStringSubmatch(rule.Expr, -1)
		if len(used) == 0 {
			t.Errorf("%s asks for no metric: %s", rule.Alert, rule.Expr)
			continue
		}
		labels := slices.Clone(promDefault)
		for _, metric := range used {
			doc, ok := docs[metric[1]]
			if name, isBucket := strings.CutSuffix(metric[1], "_bucket"); isBucket && docs[name].kind == "histogram" {
				doc, ok = docs[name], true
			}
			if !ok || metric[2] != "" && !slices.Contains(doc.labels[metric[2]], metric[3]) {
				t.Errorf("%s asks for %s, which does not exist", rule.Alert, metric[0])
			}
			labels = slices.AppendSeq(labels, maps.Keys(doc.labels))
		}
		for _, by := range exprBy.FindAllStringSubmatch(rule.Expr, -1) {
			for label := range strings.SplitSeq(by[1], ", ") {
				if !slices.Contains(labels, label) {
					t.Errorf("%s groups by %s, which no metric of it has", rule.Alert, label)
				}
			}
		}
	}
	named := map[string]bool{}
	for _, name := range alertNames.FindAllStringSubmatch(readDoc(t, "metrics.md"), -1) {
		if named[name[1]] = true; !alerts[name[1]] {
			t.Errorf("docs/metrics.md names the alert %s, which has no rule", name[1])
		}
	}
	for alert := range alerts {
		if !named[alert] && alert != "HokoEdgeMissing" {
			t.Errorf("no metric in docs/metrics.md names the alert %s", alert)
		}
	}
}
