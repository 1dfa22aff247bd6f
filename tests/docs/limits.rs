//! `docs/design/limits.md` says what the code says: below its marker it is written by this test
//! from the options in `packaging/config.toml`, the unit, and the constants under `src/` with their
//! comments.
//!
//! `make docs` writes it anew (`UPDATE=1`). Which folder a constant is in may change without that;
//! what it says may not. What is written by hand, above the marker, is for people to keep.

#![allow(clippy::wildcard_enum_match_arm, reason = "of Rust's syntax a few forms are looked at")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::{Attribute, Expr, Item, ItemConst, Lit, Type};

use crate::{files, read};

const DOCUMENT: &str = "docs/design/limits.md";
const MARKER: &str = "<!-- What follows is generated from the code: make docs -->\n";

/// A constant is a limit when a word of its name is one of these, or when its type is one of
/// [`KINDS`].
const WORDS: [&str; 36] = [
    "MAX", "MIN", "LIMIT", "LEAST", "LARGEST", "LONGEST", "LONGER", "LARGE", "HUGE", "SMALL",
    "QUEUE", "TRIES", "TRIED", "ONCE", "PATIENCE", "LIFE", "FIRST", "WINDOW", "HEADERS", "KEPT",
    "CHUNK", "BATCH", "ROUNDS", "TTL", "RESETS", "STEP", "MARGIN", "SLACK", "HURRY", "MOST",
    "READERS", "TURNS", "LOOKS", "DEPTH", "NESTING", "SECONDS",
];
const KINDS: [&str; 4] = ["Duration", "SignedDuration", "Rules", "Tier"];
/// How the names end whose numbers are no limit: how much of a text is shown, and such.
const OTHERS: [&str; 6] = ["_SHOWN", "WIDTH", "MODE", "MODE_MAX", "BUFFER", "BLOCK"];

/// What the unit bounds.
const UNIT: [&str; 7] = [
    "MemoryHigh",
    "MemoryMax",
    "TasksMax",
    "LimitNOFILE",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "WatchdogSec",
];

#[test]
fn the_limits_are_those_of_the_code() {
    let document = read(DOCUMENT);
    let (by_hand, generated) = document.split_once(MARKER).expect("the document has its marker");
    let fresh = generate();
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
        fs::write(path, format!("{by_hand}{MARKER}{fresh}")).unwrap();
        return;
    }
    let (written, there) = (rows(generated), rows(&fresh));
    assert!(there.len() > 150, "few limits were found: {}", there.len());
    let stale: Vec<_> = written.iter().filter(|row| !there.contains(row)).collect();
    let missing: Vec<_> = there.iter().filter(|row| !written.contains(row)).collect();
    assert!(
        stale.is_empty() && missing.is_empty() && written.len() == there.len(),
        "make docs\n{stale:#?}\n{missing:#?}"
    );
}

/// The rows of all tables, whatever heading they stand under.
fn rows(text: &str) -> Vec<&str> {
    let mut rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    rows.sort_unstable();
    rows
}

fn generate() -> String {
    let mut text = String::from(
        "\n## Options\n\nKeys of `/etc/sealgate/config.toml` with their defaults.\n\n",
    );
    text += "| option | default | what it bounds |\n|---|---|---|\n";
    text += &options(&read("packaging/config.toml"));
    text += "\n## The unit\n\nOf `systemd/sealgate.service`; change them with `systemctl edit \
        sealgate`.\n\n";
    text += "| setting | value |\n|---|---|\n";
    for line in read("systemd/sealgate.service").lines() {
        if let Some((key, value)) = line.split_once('=').filter(|(key, _)| UNIT.contains(key)) {
            text += &format!("| `{key}` | {value} |\n");
        }
    }
    text += "\n## Constants\n\nBy the folder under `src/` that they are in.\n";
    for (room, limits) in constants() {
        text += &format!(
            "\n### {room}\n\n| constant | value | what it bounds, and why |\n|---|---|---|\n"
        );
        for limit in limits {
            text += &format!("| `{}` | {} | {} |\n", limit.name, limit.value, limit.says);
        }
    }
    text
}

/// The keys with a number, and the comment above each; a key without one of its own has that of the
/// key above it.
fn options(config: &str) -> String {
    let (mut text, mut table, mut comment, mut is_open) = (String::new(), "", String::new(), false);
    for line in config.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            (table, is_open) = (name, false);
        } else if let Some(words) = line.strip_prefix("# ") {
            comment = if is_open { format!("{comment} {words}") } else { words.to_owned() };
            is_open = true;
        } else if let Some((key, value)) =
            line.strip_prefix('#').and_then(|line| line.split_once(" = "))
        {
            is_open = false;
            if value.bytes().all(|byte| byte.is_ascii_digit()) {
                text +=
                    &format!("| `{table}.{key}` | {value} | {} |\n", comment.replace('|', "\\|"));
            }
        } else {
            is_open = false;
        }
    }
    text
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Limit {
    name: String,
    says: String,
    value: String,
}

/// The limits among the constants, by room.
fn constants() -> BTreeMap<String, Vec<Limit>> {
    let mut rooms: BTreeMap<String, Vec<Limit>> = BTreeMap::new();
    let sources: Vec<(String, Vec<Item>)> = files("src", ".rs")
        .into_iter()
        .filter(|path| !path.contains("/tests/") && !path.ends_with("/tests.rs"))
        .map(|path| {
            (
                path.clone(),
                syn::parse_file(&read(&path))
                    .unwrap_or_else(|error| panic!("{path}: {error}"))
                    .items,
            )
        })
        .collect();
    let numbers = numbers(&sources);
    for (path, items) in &sources {
        let below = path.strip_prefix("src/").unwrap();
        let room = below.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let limits = rooms.entry(room).or_default();
        let mut says = String::new();
        for item in items {
            let Item::Const(item) = item else {
                says.clear();
                continue;
            };
            let own = comment(&item.attrs);
            says = if own.is_empty() { says } else { own };
            if is_limit(item) {
                let name = item.ident.to_string();
                let counted =
                    numbers.get(&(path.clone(), name.clone())).filter(|(_, is_bytes)| !is_bytes);
                let value = counted.map_or_else(
                    || shown(&item.expr, path, &numbers),
                    |(number, _)| number.to_string(),
                );
                limits.push(Limit { name, says: says.clone(), value });
            }
        }
    }
    rooms.retain(|_, limits| !limits.is_empty());
    rooms.values_mut().for_each(|limits| limits.sort());
    rooms
}

fn is_limit(item: &ItemConst) -> bool {
    let name = item.ident.to_string();
    let kind = kind(&item.ty);
    let is_number =
        ["usize", "u32", "u64", "u128", "u16", "u8", "NonZeroUsize"].contains(&kind.as_str());
    let is_other = OTHERS.iter().any(|ending| name.ends_with(ending));
    !is_other
        && (KINDS.contains(&kind.as_str())
            || (is_number && name.split('_').any(|word| WORDS.contains(&word))))
}

/// The last word of a type, of a slice or an array that of its items.
fn kind(ty: &Type) -> String {
    match ty {
        Type::Path(path) => {
            path.path.segments.last().map(|part| part.ident.to_string()).unwrap_or_default()
        }
        Type::Reference(reference) => kind(&reference.elem),
        Type::Slice(slice) => kind(&slice.elem),
        Type::Array(array) => kind(&array.elem),
        _ => String::new(),
    }
}

/// The first paragraph of a comment, on one line, without links into the code.
fn comment(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let syn::Meta::NameValue(meta) = &attribute.meta
            && meta.path.is_ident("doc")
            && let Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) = &meta.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    let mut text = lines.join(" ");
    while let Some(at) = text.find("`](") {
        let end = text[at..].find(')').map_or(text.len(), |end| at + end + 1);
        text.replace_range(at + 1..end, "");
        if let Some(open) = text[..at].rfind("[`") {
            text.replace_range(open..=open, "");
        }
    }
    text.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

/// The numbers of all constants that are plain ones, by file and name, and whether they count
/// bytes.
type Numbers = BTreeMap<(String, String), (i128, bool)>;

fn numbers(sources: &[(String, Vec<Item>)]) -> Numbers {
    let mut numbers = Numbers::new();
    // Constants name each other: a second and a third walk finds what the first could not.
    for _ in 0..3 {
        for (path, items) in sources {
            for item in items {
                if let Item::Const(item) = item
                    && let Some((number, is_bytes)) = number(&item.expr, path, &numbers)
                {
                    let is_bytes = is_bytes && !item.ident.to_string().contains("QUEUE");
                    numbers.insert((path.clone(), item.ident.to_string()), (number, is_bytes));
                }
            }
        }
    }
    numbers
}

/// A number, and whether the code writes it as bytes: `4 << 20`, or with a factor of 1024.
fn number(expr: &Expr, path: &str, numbers: &Numbers) -> Option<(i128, bool)> {
    let of = |expr: &Expr| number(expr, path, numbers);
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(int) => Some((int.base10_parse().ok()?, false)),
            _ => None,
        },
        Expr::Paren(inner) => of(&inner.expr),
        Expr::Cast(cast) => of(&cast.expr),
        Expr::Path(name) => {
            let name = name.path.segments.last()?.ident.to_string();
            let own = numbers.get(&(path.to_owned(), name.clone()));
            own.or_else(|| {
                numbers.iter().find(|((_, other), _)| *other == name).map(|(_, number)| number)
            })
            .copied()
        }
        Expr::Binary(binary) => {
            let ((left, left_bytes), (right, right_bytes)) =
                (of(&binary.left)?, of(&binary.right)?);
            let (value, is_bytes) = match binary.op {
                syn::BinOp::Add(_) => (left.checked_add(right), false),
                syn::BinOp::Sub(_) => (left.checked_sub(right), false),
                syn::BinOp::Mul(_) => (left.checked_mul(right), left == 1024 || right == 1024),
                syn::BinOp::Div(_) => (left.checked_div(right), false),
                syn::BinOp::Shl(_) => {
                    (left.checked_shl(u32::try_from(right).ok()?), [10, 20, 30].contains(&right))
                }
                _ => (None, false),
            };
            Some((value?, is_bytes || left_bytes || right_bytes))
        }
        // NonZeroUsize::MIN.saturating_add(n) is how a constant one is written.
        Expr::MethodCall(call) if call.method == "saturating_add" => {
            of(call.args.first()?).map(|(number, _)| (number + 1, false))
        }
        Expr::Call(call) if last(&call.func)? == "new" => of(call.args.first()?),
        Expr::MethodCall(call) if call.method == "unwrap" => of(&call.receiver),
        _ => None,
    }
}

fn last(expr: &Expr) -> Option<String> {
    let Expr::Path(path) = expr else { return None };
    path.path.segments.last().map(|part| part.ident.to_string())
}

/// A value as people write it.
fn shown(expr: &Expr, path: &str, numbers: &Numbers) -> String {
    let of = |expr: &Expr| shown(expr, path, numbers);
    match expr {
        Expr::Call(call) if call.args.len() == 1 => match last(&call.func).as_deref() {
            Some("from_secs") => format!("{} s", of(&call.args[0])),
            Some("from_millis") => format!("{} ms", of(&call.args[0])),
            Some("from_mins") => format!("{} min", of(&call.args[0])),
            Some("from_hours") => format!("{} h", of(&call.args[0])),
            _ => plain(expr, path, numbers),
        },
        Expr::Reference(reference) => of(&reference.expr),
        Expr::Array(array) => array.elems.iter().map(of).collect::<Vec<_>>().join("; "),
        Expr::Struct(fields) => {
            let field = |field: &syn::FieldValue| match &field.member {
                syn::Member::Named(name) => format!("{name} {}", of(&field.expr)),
                syn::Member::Unnamed(_) => of(&field.expr),
            };
            fields.fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        _ => plain(expr, path, numbers),
    }
}

/// A number; of bytes in KiB, MiB or GiB.
fn plain(expr: &Expr, path: &str, numbers: &Numbers) -> String {
    let Some((number, is_bytes)) = number(expr, path, numbers) else {
        return "see the code".to_owned();
    };
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit =
        units.into_iter().find(|(unit, _)| is_bytes && number >= *unit && number % unit == 0);
    unit.map_or_else(|| number.to_string(), |(unit, name)| format!("{} {name}", number / unit))
}
