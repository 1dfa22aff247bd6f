//! [`Tested`]: what came of one case.

use serde::Serialize;

use super::said::TrialVerdict;
use crate::policy::TestCase;

/// What came of one case.
#[derive(Debug, Serialize)]
pub(super) struct Tested {
    pub(super) case: String,
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) passed: bool,
    /// The verdict and, where the case names one, the code.
    pub(super) expected: String,
    pub(super) got: String,
    pub(super) message: String,
}

impl Tested {
    pub(super) fn new(case: &TestCase, said: TrialVerdict) -> Self {
        let verdict = said.verdict.word();
        let fits_code = case.code.as_ref().is_none_or(|code| *code == said.code);
        let expected = case
            .code
            .as_ref()
            .map_or_else(|| case.verdict.to_owned(), |code| format!("{} {code}", case.verdict));
        Self {
            case: case.name.clone(),
            file: case.file.clone(),
            line: case.position.line,
            passed: verdict == case.verdict && fits_code,
            expected,
            got: format!("{verdict} {}", said.code),
            message: said.message,
        }
    }
}
