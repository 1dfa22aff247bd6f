//! [`next_step`]: what an operator does about a reason code, as the document that explains the
//! codes says it. There is no second list.

/// The document with the table of codes.
const CODES: &str = include_str!("../../../docs/respond/reason-codes.md");

/// What to do about a reason with this code, in one sentence of plain text; none for a code that
/// the document does not have.
pub(in crate::cli) fn next_step(code: &str) -> Option<String> {
    let wanted = format!("`{code}`");
    let rows = CODES.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        Some((cells.next()?, cells.next()?, cells.next()?))
    });
    let mut steps = rows.filter(|(codes, _, _)| codes.split(", ").any(|one| one == wanted));
    steps.next().map(|(_, _, step)| unmarked(step))
}

/// The text without Markdown's backquotes and the targets of its links.
fn unmarked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let (text, link) = before.rsplit_once('[').unwrap_or(("", before));
        out.extend([text, link]);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_the_documents_without_its_markup() {
        assert_eq!(next_step("keys-not-distinct").as_deref(), Some("sign with a second key"));
        let step = next_step("registry-unable").unwrap();
        assert!(step.contains("(Private registries), or registry.credential_hosts."), "{step}");
        let step = next_step("not-allowed").unwrap();
        assert!(step.starts_with("read [runtime] in the configuration"), "{step}");
        assert_eq!(next_step("code"), None);
        assert_eq!(next_step("no-such-code"), None);
    }

    #[test]
    fn every_code_of_the_table_has_one() {
        let rows = CODES.lines().filter(|line| line.starts_with("| `"));
        let codes: Vec<&str> = rows
            .filter_map(|line| line.split('|').nth(1))
            .flat_map(|cell| cell.trim().split(", "))
            .map(|code| code.trim_matches('`'))
            .collect();
        assert!(codes.len() > 40, "{codes:?}");
        for code in codes {
            assert!(next_step(code).is_some_and(|step| !step.is_empty()), "{code}");
        }
    }
}
