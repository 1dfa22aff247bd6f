//! Metrics: what the code serves, against what documents, alert rules and the dashboard name; and
//! the words that it counts by, against those that there are.

use std::collections::BTreeSet;

use serde_json::Value;
use syn::visit::{self, Visit};

use crate::names::{assert_same, codes};
use crate::{code_words, documents, files, read};

const RULES: &str = "packaging/prometheus/sealgate.rules.yaml";
const DASHBOARD: &str = "packaging/grafana/sealgate.json";

/// The whole words of a text that are names of metrics of ours; what Prometheus adds to a
/// histogram's is taken off.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("sealgate_"));
    let histogram = "sealgate_decision_duration_seconds";
    let named = words.map(|word| match word.strip_prefix(histogram) {
        Some("_bucket" | "_sum" | "_count") => histogram.to_owned(),
        _ => word.to_owned(),
    });
    named.collect()
}

/// What the code serves: the names in the room of metrics, tests left out.
fn served() -> BTreeSet<String> {
    let sources =
        files("src/metrics", ".rs").into_iter().filter(|file| !file.ends_with("/tests.rs"));
    let mut served = BTreeSet::new();
    for source in sources {
        let text = read(&source);
        let production = text.split("#[cfg(test)]").next().unwrap();
        // A name is a literal of its own; HELP texts speak of others.
        let literals = production.split('"').skip(1).step_by(2);
        let is_name = |literal: &&str| metrics(literal).contains(*literal);
        served.extend(literals.filter(is_name).map(str::to_owned));
    }
    assert!(served.len() > 40, "{served:?}");
    served
}

#[test]
fn every_metric_that_documents_rules_and_the_dashboard_name_is_served() {
    let served = served();
    let mut named = BTreeSet::new();
    for document in documents() {
        for word in code_words(&read(&document)).iter().filter(|w| w.starts_with("sealgate_")) {
            for metric in metrics(word) {
                assert!(served.contains(&metric), "{document}: there is no metric {metric}");
                named.insert(metric);
            }
        }
    }
    assert!(named.len() >= 10, "the documents name few metrics: {named:?}");
    for file in [RULES, DASHBOARD] {
        let named = metrics(&read(file));
        assert!(named.len() >= 10, "{file} names few metrics: {named:?}");
        for metric in named {
            assert!(served.contains(&metric), "{file}: there is no metric {metric}");
        }
    }
}

#[test]
fn every_metric_is_in_the_documents() {
    let served = served();
    let monitoring = code_words(&read("docs/operate/monitoring.md"));
    let monitoring: BTreeSet<String> = monitoring.iter().flat_map(|word| metrics(word)).collect();
    assert_same(&monitoring, &served);
    assert_same(&metrics(&read("packaging/man/sealgate.toml.5")), &served);
    let whole = read("src/metrics/text/expected.prom");
    let tested = metrics(&whole);
    // Of lists and of keys there are none in that text; their own tests have them.
    let untested: Vec<&String> = served
        .difference(&tested)
        .filter(|name| !name.starts_with("sealgate_deny_list_"))
        .filter(|name| !name.starts_with("sealgate_swept") && !name.contains("expiry"))
        .collect();
    let of_node =
        ["sealgate_findings_total", "sealgate_not_enforcing", "sealgate_sweep_stops_total"];
    assert_eq!(untested, of_node, "in no test of the text");
}

/// What a tired person reads says what is the matter and where to look, and the place is there.
#[test]
fn every_alert_says_what_to_do_and_where_it_says_more() {
    let rules = yaml(RULES);
    let groups = rules["groups"].as_array().unwrap();
    let alerts: Vec<&Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(alerts.len() >= 12, "{}", alerts.len());
    let runbook = read("docs/respond/runbook.md");
    let monitoring = read("docs/operate/monitoring.md");
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        let note = |key: &str| {
            alert["annotations"][key].as_str().unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        assert!(note("summary").contains("{{ $labels.instance }}"), "{name}: which node?");
        assert!(note("description").len() > 40, "{name}");
        assert!(
            ["critical", "warning", "info"]
                .contains(&alert["labels"]["severity"].as_str().unwrap())
        );
        let (document, place) = note("runbook").split_once('#').unwrap();
        let document = document.strip_prefix("/usr/share/doc/sealgate/").unwrap();
        let anchor = |line: &str| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || c == '-' => Some(c),
                    _ => None,
                })
                .collect::<String>()
        };
        let text = read(document);
        let mut headings = text.lines().filter(|line| line.starts_with('#'));
        assert!(headings.any(|line| anchor(line) == place), "{name}: {document} has no #{place}");
        assert!(
            runbook.contains(&format!("`{name}`")) || monitoring.contains(&format!("`{name}`")),
            "{name} is in no document"
        );
    }
}

/// Every panel asks for something, has a title, and shows it by a unit; no two have one id.
#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        if panel["type"] == "row" {
            continue;
        }
        assert!(!panel["description"].as_str().unwrap_or_default().is_empty(), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let asked = target["expr"].as_str().unwrap();
            assert!(asked.contains("instance=~\"$instance\""), "{title}: of every node: {asked}");
        }
    }
    assert!(ids.len() >= 12, "{}", ids.len());
}

/// YAML in the few forms that the rules are written in, as JSON: by the program's own reader.
fn yaml(path: &str) -> Value {
    let text = read(path);
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts in a constant array of this name.
fn words_of(path: &str, name: &str) -> Vec<String> {
    let file = syn::parse_file(&read(path)).unwrap();
    for item in file.items {
        if let syn::Item::Const(constant) = item
            && constant.ident == name
            && let syn::Expr::Array(array) = *constant.expr
        {
            let text = |expr: &syn::Expr| {
                if let syn::Expr::Lit(lit) = expr
                    && let syn::Lit::Str(text) = &lit.lit
                {
                    return text.value();
                }
                panic!("{path}: {name} has something else than texts")
            };
            return array.elems.iter().map(text).collect();
        }
    }
    panic!("{path} has no {name}")
}

#[test]
fn every_reason_code_is_counted_under_its_own_word() {
    let counted = words_of("src/decision/refusal.rs", "CODES");
    assert_same(&counted.into_iter().collect(), &codes());
}

/// The first argument of each `.time("…", …)`.
struct Phases(BTreeSet<String>);

impl<'ast> Visit<'ast> for Phases {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "time"
            && let Some(syn::Expr::Lit(lit)) = call.args.first()
            && let syn::Lit::Str(text) = &lit.lit
        {
            self.0.insert(text.value());
        }
        visit::visit_expr_method_call(self, call);
    }
}

#[test]
fn every_phase_that_is_timed_is_counted() {
    let mut phases = Phases(BTreeSet::from(["total".to_owned()]));
    for source in files("src", ".rs") {
        phases.visit_file(&syn::parse_file(&read(&source)).unwrap());
    }
    let counted = words_of("src/decision/timing.rs", "PHASES");
    assert_same(&counted.into_iter().collect(), &phases.0);
}
