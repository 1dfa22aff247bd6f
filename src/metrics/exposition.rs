//! How a metric is written down in Prometheus' text format: its family, its values and its labels;
//! [`Histogram`]; [`first_ends`], which bounds how many series there are.

/// Series of one metric whose label the configuration names (keys, trust roots, deny lists). A node
/// has some tens of each; of more, those that end first are served, and those are what an alert is
/// about. Beyond this a monitor pays more for the metric than it is worth.
const SERIES_MAX: usize = 128;

/// A counter as a float, which all values are; exact below 2^52 (two halves of 32 bits, each
/// exact).
pub(super) fn count_of(count: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    half(count >> 32) * 4_294_967_296.0 + half(count & 0xffff_ffff)
}

/// Adds a metric with its HELP, TYPE and samples; nothing where there is no sample.
pub(super) fn family<'a>(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl Iterator<Item = (Vec<(&'static str, &'a str)>, f64)>,
) {
    let mut begun = false;
    for (labels, value) in samples {
        if !begun {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            begun = true;
        }
        sample(text, name, &labels, value);
    }
}

/// Adds a metric that is one number.
pub(super) fn one(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    family(text, name, kind, help, std::iter::once((Vec::new(), value)));
}

/// How often something took how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// What it is of: names and fixed words.
    pub labels: [(&'static str, &'static str); 2],
    /// The upper bounds of the buckets, in microseconds, ascending.
    pub bounds: &'static [u64],
    /// How often it took at most each bound and more than the one before; the last is beyond all.
    pub buckets: Vec<u64>,
    /// Microseconds of all together.
    pub sum: u64,
}

impl Histogram {
    /// Adds a metric of all of these, in seconds.
    pub(super) fn write(all: &[Self], text: &mut String, name: &str, help: &str) {
        if all.is_empty() {
            return;
        }
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} histogram\n"));
        for Self { labels, bounds, buckets, sum } in all {
            let ends = bounds.iter().map(|bound| seconds(*bound).to_string());
            let mut count = 0;
            for (end, bucket) in ends.chain(["+Inf".to_owned()]).zip(buckets) {
                count += bucket;
                let labels: Vec<_> = labels.iter().copied().chain([("le", end.as_str())]).collect();
                sample(text, &format!("{name}_bucket"), &labels, count_of(count));
            }
            sample(text, &format!("{name}_sum"), labels, seconds(*sum));
            sample(text, &format!("{name}_count"), labels, count_of(count));
        }
    }
}

/// Those that end first, as many as are served; in the order in which they came where that is all.
pub(super) fn first_ends<T>(mut all: Vec<T>, end: impl Fn(&T) -> f64) -> Vec<T> {
    if all.len() > SERIES_MAX {
        all.sort_by(|one, other| end(one).total_cmp(&end(other)));
        all.truncate(SERIES_MAX);
    }
    all
}

fn seconds(micros: u64) -> f64 {
    count_of(micros) / 1_000_000.0
}

fn sample(text: &mut String, name: &str, labels: &[(&'static str, &str)], value: f64) {
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    let labels =
        if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let value = if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() };
    text.push_str(&format!("{name}{labels} {value}\n"));
}

/// A label's value: backslash, quote and line break escaped as the format has it, other controls
/// left out.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_in_seconds() {
        let labels = [("call", "PullImage"), ("phase", "total")];
        let bounds: &[u64] = &[250, 1_000_000];
        let histogram = Histogram { labels, bounds, buckets: vec![1, 2, 4], sum: 1_500_000 };
        let mut text = String::new();
        Histogram::write(&[histogram], &mut text, "x_seconds", "Help.");
        let expected = "# HELP x_seconds Help.\n# TYPE x_seconds histogram\n\
            x_seconds_bucket{call=\"PullImage\",phase=\"total\",le=\"0.00025\"} 1\n\
            x_seconds_bucket{call=\"PullImage\",phase=\"total\",le=\"1\"} 3\n\
            x_seconds_bucket{call=\"PullImage\",phase=\"total\",le=\"+Inf\"} 7\n\
            x_seconds_sum{call=\"PullImage\",phase=\"total\"} 1.5\n\
            x_seconds_count{call=\"PullImage\",phase=\"total\"} 7\n";
        assert_eq!(text, expected);
        let mut nothing = String::new();
        Histogram::write(&[], &mut nothing, "x_seconds", "Help.");
        assert_eq!(nothing, "");
    }

    #[test]
    fn of_too_many_series_those_that_end_first_are_served() {
        let ends = |from: i32, to: i32| -> Vec<f64> { (from..to).map(f64::from).rev().collect() };
        let few = first_ends(ends(0, 3), |end| *end);
        assert_eq!(few, [2.0, 1.0, 0.0], "as they came");
        let many = first_ends(ends(0, 200), |end| *end);
        assert_eq!((many.len(), many.first(), many.last()), (SERIES_MAX, Some(&0.0), Some(&127.0)));
    }
}
