//! What there is to say, as workflow commands of GitHub Actions: it shows them at their lines
//! ("Workflow commands for GitHub Actions", setting an error message).

use super::remark::message;
use crate::cli::terminal::screen::{Screen, plain};
use crate::loader::{Remark, Severity};

/// Prints one command for each.
pub(super) fn print(remarks: &[Remark], screen: &mut Screen) {
    for remark in remarks {
        screen.line(&command(remark));
    }
}

fn command(remark: &Remark) -> String {
    let level = match remark.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let file = remark.file.as_ref().map(|file| format!("file={}", property(file)));
    let line = remark.line.map(|line| format!("line={line}"));
    let column = remark.column.map(|column| format!("col={column}"));
    let title = Some(format!("title={}", remark.code));
    let properties: Vec<String> = [file, line, column, title].into_iter().flatten().collect();
    format!("::{level} {}::{}", properties.join(","), data(&message(remark)))
}

/// The characters that end a command, as its reader decodes them.
fn data(text: &str) -> String {
    plain(text).replace('%', "%25")
}

/// The same of what stands between commas and colons.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_place_and_nothing_ends_it() {
        let remark = Remark {
            severity: Severity::Error,
            file: Some("a,b:c.yaml".to_owned()),
            line: Some(3),
            column: Some(7),
            field: "spec".to_owned(),
            ..Remark::warning("unknown-field", &"100%\n::warning::x")
        };
        assert_eq!(
            command(&remark),
            "::error file=a%2Cb%3Ac.yaml,line=3,col=7,title=unknown-field::spec: \
             100%25\\u{a}::warning::x"
        );
        let bare = Remark::warning("registry", &"x");
        assert_eq!(command(&bare), "::warning title=registry::x");
    }
}
