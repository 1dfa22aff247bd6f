//! What a deny list strikes off by its digest or its name: the denial, without looking at anything
//! else.

use super::permit::{Class, Denial, Reason};
use super::report::Report;
use crate::evidence::{Name, Subject};
use crate::image::Digest;
use crate::policy::document::deny_entry::Denied;
use crate::policy::sanitize::escaped;
use crate::policy::set::PolicySet;
use crate::policy::set::denials::Listed;

impl PolicySet {
    /// The denial of what a deny list names by its digest or its repository, whatever else is known
    /// of it: nothing has to be looked for, and no exception helps.
    #[must_use]
    pub fn struck_off(&self, subject: &Subject) -> Option<Denial> {
        if let Some((digest, listed)) = self.denials.digest_of(subject) {
            let (digest, by) = (digest.to_string(), Some(Box::new(listed.by())));
            return Some(denial(&subject.name, listed, Reason::DigestDenied { digest, by }));
        }
        self.struck_off_name(&subject.name)
    }

    /// Whether a deny list names any digest.
    #[must_use]
    pub fn denies_digests(&self) -> bool {
        self.denials.has_digests()
    }

    /// The denial of a digest that a deny list names, an image's id among them.
    #[must_use]
    pub fn struck_off_digest(&self, digest: &Digest) -> Option<Denial> {
        let listed = self.denials.digest(digest)?;
        let (text, by) = (digest.to_string(), Some(Box::new(listed.by())));
        Some(denial(&Name::Unknown, listed, Reason::DigestDenied { digest: text, by }))
    }

    /// The denial of whatever has a name in a denied repository.
    #[must_use]
    pub fn struck_off_name(&self, name: &Name) -> Option<Denial> {
        let listed = self.denials.name(name)?;
        let Denied::Repository { pattern } = &listed.entry.denied else { return None };
        let reason =
            Reason::RepositoryDenied { pattern: escaped(pattern), by: Box::new(listed.by()) };
        Some(denial(name, listed, reason))
    }
}

fn denial(name: &Name, listed: &Listed, reason: Reason) -> Denial {
    let message = format!("{}: {reason}", escaped(&name.to_string()));
    Denial {
        reason,
        class: Class::Refused,
        policy: Some(listed.list.clone()),
        requirement: None,
        unreachable_for: Vec::new(),
        message,
        report: Report::of(false, Vec::new()),
    }
}
