//! How a metric is written down in Prometheus' text format: its family, its values and its labels.

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
        let labels: Vec<String> = labels
            .into_iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let value = if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() };
        text.push_str(&format!("{name}{labels} {value}\n"));
    }
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
