//! [`Check`]: looks over policies wherever they are, and says everything that is wrong or likely not
//! meant, with its place and the text that stands there ([`Checked`]).
//!
//! It reads what a gate would read, and finds what a gate would find; beside that it asks for the
//! lints, and knows what it can know where there are no keys. Nothing is loaded by it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::error::{FileFault, Problem, Warning};
use super::files::{self, Owners};
use super::lists::add_kept;
use super::material::{certificates, keys, trust_roots};
use super::policy_files::{FILES_MAX, TOTAL_MAX, is_policy, names_in, none_is_there};
use super::shipped::take_shipped;
use super::{Options, TrustOptions};
use crate::fetched_list;
use crate::policy::{
    DocumentCounts, Documents, DocumentsReader, FILE_MAX, FetchedList, Material, Note, PolicyFile,
    PolicySet, Position, located, nearest,
};

/// The code of a list that no gate takes, since it denies everything; as a fetch has it.
const STRIKES_OFF_ALL: &str = "strikes-off-all";
/// The code of a list to publish that lies among policies, where no gate loads it.
const LIST_AMONG_POLICIES: &str = "list-among-policies";

/// What is to be looked over.
#[derive(Debug)]
pub struct Check<'c> {
    /// Where the documents are.
    pub sources: Vec<CheckSource>,
    /// The folder of keys; without it nothing that documents name is read.
    pub keys: Option<&'c Path>,
    /// Trust roots.
    pub trust: &'c TrustOptions,
    /// What else counts of the node's configuration.
    pub options: &'c Options,
    /// Whether these are the files that decide on this node: then nobody else may write them, each
    /// path is a folder that stands above the one before, and all but one may be absent.
    pub is_in_force: bool,
    /// As of when exceptions are looked at.
    pub now: Timestamp,
}

/// Where documents are.
#[derive(Debug)]
pub enum CheckSource {
    /// A file, or a folder as a gate reads it.
    Path(PathBuf),
    /// What was read already, under a name for its place.
    Read(PolicyFile),
}

/// What there is to say.
#[derive(Debug, Default)]
pub struct Checked {
    /// By file, line and column.
    pub remarks: Vec<Remark>,
    /// The text of each file that is text.
    pub texts: BTreeMap<String, String>,
    /// The set, where the documents and all that they name could be put together.
    pub set: Option<PolicySet>,
    /// Documents that were read, those that are fetched as well.
    pub documents: DocumentCounts,
    /// The documents name keys, certificates or trust roots, and these were not looked at.
    pub has_unread: bool,
    /// The documents themselves are wrong, so that nothing was looked at which takes them all.
    pub is_cut_short: bool,
}

/// How much a remark weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The set would not be loaded, or a document in it does nothing.
    Error,
    /// It is sound, and likely not meant.
    Warning,
}

/// One thing that is wrong or likely not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// How much it weighs.
    pub severity: Severity,
    /// A fixed word for it.
    pub code: &'static str,
    /// The file, as it was named; none where it is about no file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The column, from 1, in characters.
    pub column: Option<u64>,
    /// The field; empty for a document or a file.
    pub field: String,
    /// What is wrong, on one line.
    pub message: String,
    /// What was likely meant, as it would be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Check<'_> {
    /// Looks it over.
    #[must_use]
    pub fn run(&self) -> Checked {
        let mut checked = Checked::default();
        let (mut reader, mut published) = (DocumentsReader::default(), Vec::new());
        self.read((&mut reader, &mut published), &mut checked);
        match reader.finish() {
            Ok(mut documents) => {
                published.into_iter().for_each(|list| documents.add_fetched(list));
                self.look_over(documents, &mut checked);
            }
            Err(errors) => {
                checked.is_cut_short = true;
                checked.problems(errors.into_iter().map(Problem::Policy).collect());
            }
        }
        checked.remarks.sort_by(|one, other| one.order().cmp(&other.order()));
        checked
    }

    fn owners(&self) -> Owners {
        if self.is_in_force { Owners::NobodyElse } else { Owners::Anybody }
    }

    /// Reads every file, as far as all of them together may be.
    fn read(
        &self,
        (reader, published): (&mut DocumentsReader, &mut Vec<FetchedList>),
        checked: &mut Checked,
    ) {
        let mut left = TOTAL_MAX;
        let mut add = |(reader, is_named): (&mut DocumentsReader, bool),
                       file: Result<PolicyFile, Box<Problem>>,
                       checked: &mut Checked| {
            let file = match file {
                Ok(file) if file.bytes.len() <= left => file,
                Ok(file) => {
                    let fault = FileFault::TooMuch { limit: TOTAL_MAX };
                    return checked.problems(vec![Problem::File { file: file.name.into(), fault }]);
                }
                Err(problem) => return checked.problems(vec![*problem]),
            };
            left -= file.bytes.len();
            match !self.is_in_force && FetchedList::is_meant(&file.bytes) {
                true if is_named => published.extend(self.published(&file, checked)),
                true => checked.remarks.push(Remark::list_among_policies(file.name.clone())),
                false => reader.add(file.parse()),
            }
            if let Ok(text) = String::from_utf8(file.bytes) {
                checked.texts.insert(file.name, text);
            }
        };
        if self.is_in_force && !self.sources.iter().any(CheckSource::is_there) {
            checked.problems(vec![none_is_there(&self.options.policies)]);
        }
        for source in &self.sources {
            if self.is_in_force {
                reader.begin_folder();
            }
            match source {
                CheckSource::Read(file) => add((&mut *reader, true), Ok(file.clone()), checked),
                CheckSource::Path(path) => {
                    let is_named = !path.is_dir();
                    for file in self.files(path, checked) {
                        add((&mut *reader, is_named), self.file(&file), checked);
                    }
                }
            }
        }
    }

    /// A list that is to be published, as the gates read it that fetch it; none where they would not
    /// take it.
    fn published(&self, file: &PolicyFile, checked: &mut Checked) -> Option<FetchedList> {
        let list = match FetchedList::read(&file.name, &file.bytes) {
            Ok(list) => list,
            Err(errors) => {
                checked.problems(errors.into_iter().map(Problem::Policy).collect());
                return None;
            }
        };
        let at = |remark: Remark| remark.at(file.name.clone(), None, "");
        if let Some((entry, what)) = list.strikes_off_all() {
            let message = format!("{} {what}: no gate takes it", entry.denied);
            let remark = at(Remark::warning(STRIKES_OFF_ALL, &message));
            checked.remarks.push(Remark { severity: Severity::Error, ..remark });
        }
        for kind in list.kinds().into_iter().filter(|kind| !fetched_list::is_usual(kind)) {
            let message = format!(
                "it denies {kind}: only gates take it whose kinds in policy.deny_lists have {kind}"
            );
            checked.remarks.push(at(Remark::warning("kind-not-usual", &message)));
        }
        let expires = list.head().expires;
        if expires <= self.now {
            let message = format!("it expired at {expires}: gates that take it raise an alarm");
            checked.remarks.push(at(Remark::warning("list-expired", &message)));
        }
        Some(list)
    }

    /// The files at a path: the one, or those of a folder that are policies.
    fn files(&self, path: &Path, checked: &mut Checked) -> Vec<PathBuf> {
        if !path.is_dir() && !self.is_in_force {
            return vec![path.to_owned()];
        }
        let names = match names_in(path, self.owners()) {
            Ok(names) => names.unwrap_or_default(),
            Err(fault) => {
                checked.problems(vec![Problem::File { file: path.to_owned(), fault }]);
                return Vec::new();
            }
        };
        let shown = names.into_iter().filter(|name| !name.as_encoded_bytes().starts_with(b"."));
        let (policies, others): (Vec<_>, Vec<_>) =
            shown.map(|name| path.join(name)).partition(|path| is_policy(path));
        checked.warnings(others.into_iter().map(|file| Warning::Ignored { file }));
        // Of the folder in force the check says what becomes of images then.
        if policies.is_empty() && !self.is_in_force {
            checked.warnings(std::iter::once(Warning::Empty { folder: path.to_owned() }));
        }
        policies
    }

    fn file(&self, path: &Path) -> Result<PolicyFile, Box<Problem>> {
        let bytes = files::read_of(path, FILE_MAX, self.owners());
        let bytes =
            bytes.map_err(|fault| Box::new(Problem::File { file: path.to_owned(), fault }))?;
        Ok(PolicyFile { name: path.to_string_lossy().into_owned(), bytes })
    }

    /// What there is to say of documents without a fault of their own.
    fn look_over(&self, mut documents: Documents, checked: &mut Checked) {
        if self.is_in_force && documents.is_empty() {
            let (folders, unmatched) = (self.options.policies.clone(), self.options.unmatched);
            checked.warnings([Warning::NoPolicy { folders, unmatched }].into_iter());
        }
        checked.warnings(Warning::of_replaced(documents.replaced()));
        checked.notes(documents.notes().to_vec());
        let span = self.options.exception_span();
        let texts = std::mem::take(&mut checked.texts);
        let lints = documents.lints(self.now, span);
        checked.notes(located(lints, |file| texts.get(file).map(String::as_str)));
        checked.texts = texts;
        let names = documents.places_of_keys().is_empty()
            && documents.places_of_files().is_empty()
            && documents.places_of_roots().is_empty();
        let mut problems = Vec::new();
        self.fetched_lists(&mut documents, &mut problems, checked);
        checked.documents = documents.counts();
        let material = match self.keys {
            Some(folder) => self.material(&documents, folder, &mut problems),
            None if names => Material::default(),
            None => return checked.has_unread = true,
        };
        checked.notes(documents.weak_keys(&material));
        if !problems.is_empty() {
            return checked.problems(problems);
        }
        match PolicySet::build(documents, material, self.options.unmatched) {
            Ok(set) => {
                let set = set.with_exception_span(span).in_mode(self.options.mode);
                checked.set = Some(set);
            }
            Err(errors) => checked.problems(errors.into_iter().map(Problem::Policy).collect()),
        }
    }

    /// What is kept of the lists of the configuration, and whether a list could be proven: as the
    /// gate reads them.
    fn fetched_lists(
        &self,
        documents: &mut Documents,
        problems: &mut Vec<Problem>,
        checked: &mut Checked,
    ) {
        if !self.is_in_force {
            return;
        }
        let mut warnings = Vec::new();
        let keys = self.keys.unwrap_or(&self.options.keys);
        add_kept(self.options.lists(), (keys, self.trust), documents, (problems, &mut warnings));
        let said = warnings.iter().map(|warning| Remark::warning("fetched-deny-list", warning));
        checked.remarks.extend(said);
    }

    fn material(
        &self,
        documents: &Documents,
        folder: &Path,
        problems: &mut Vec<Problem>,
    ) -> Material {
        let owners = self.owners();
        let mut material = Material {
            keys: keys(documents, (folder, owners), problems),
            files: certificates(documents, (folder, owners), problems),
            roots: trust_roots(documents, self.trust, problems),
        };
        if !self.is_in_force {
            take_shipped(problems, &mut material);
        }
        material
    }
}

impl CheckSource {
    fn is_there(&self) -> bool {
        match self {
            Self::Path(path) => path.symlink_metadata().is_ok(),
            Self::Read(_) => true,
        }
    }
}

impl Checked {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.remarks.iter().all(|remark| remark.severity == Severity::Warning)
    }

    fn problems(&mut self, problems: Vec<Problem>) {
        self.remarks.extend(problems.iter().map(Remark::of_problem));
    }

    fn notes(&mut self, notes: Vec<Note>) {
        self.remarks.extend(notes.into_iter().map(Remark::of_note));
    }

    fn warnings(&mut self, warnings: impl Iterator<Item = Warning>) {
        self.remarks.extend(warnings.map(|warning| Remark::warning("policy-folder", &warning)));
    }
}

impl Remark {
    /// A warning that is about no line of a file.
    #[must_use]
    pub fn warning(code: &'static str, said: &impl ToString) -> Self {
        Self {
            severity: Severity::Warning,
            code,
            file: None,
            line: None,
            column: None,
            field: String::new(),
            message: said.to_string(),
            suggestion: None,
        }
    }

    /// A gate that has this folder takes none of it.
    fn list_among_policies(file: String) -> Self {
        let message = "this is a deny list to publish; no gate loads it from a folder of policies: \
                       check it by its own name";
        let remark = Self::warning(LIST_AMONG_POLICIES, &message);
        Self { severity: Severity::Error, ..remark }.at(file, None, "")
    }

    fn of_problem(problem: &Problem) -> Self {
        let (file, at) = problem.place();
        // Of a list's option, what is wrong with the key or root that it names.
        let named =
            if let Problem::ListSigner { problem, .. } = problem { &**problem } else { problem };
        let suggestion = match named {
            Problem::Policy(error) => error.fault.suggestion(),
            Problem::Key { file, fault, .. } | Problem::Certificates { file, fault, .. } => {
                Some(file)
                    .filter(|_| *fault == FileFault::Io(ErrorKind::NotFound))
                    .and_then(|file| beside(file))
            }
            Problem::File { .. }
            | Problem::NoRoot { .. }
            | Problem::Root { .. }
            | Problem::ListSigner { .. }
            | Problem::DenyList { .. } => None,
        };
        let message = problem.message();
        let message = match (&suggestion, named) {
            (Some(name), Problem::Key { .. } | Problem::Certificates { .. }) => {
                format!("{message}; did you mean \"{}\"?", name.escape_default())
            }
            _ => message,
        };
        let position = at.map(|(position, _)| position);
        let base = Self::warning(problem.code(), &message);
        Self { severity: Severity::Error, suggestion, ..base }.at(
            file.into_owned(),
            position,
            at.map_or("", |(_, field)| field),
        )
    }

    fn of_note(note: Note) -> Self {
        let Note { file, position, field, advice } = note;
        let severity = if advice.is_error() { Severity::Error } else { Severity::Warning };
        let suggestion = advice.suggestion().map(str::to_owned);
        let base = Self::warning(advice.code(), &advice);
        Self { severity, suggestion, ..base }.at(file, Some(position), &field)
    }

    fn at(self, file: String, position: Option<Position>, field: &str) -> Self {
        let line = position.map(|position| position.line);
        let column = position.map(|position| position.column);
        Self { file: Some(file), line, column, field: field.to_owned(), ..self }
    }

    /// What is about no file comes last.
    fn order(&self) -> (bool, &Option<String>, Option<u64>, Option<u64>) {
        (self.file.is_none(), &self.file, self.line, self.column)
    }
}

/// The name of a file beside one that is not there which was likely meant.
fn beside(file: &Path) -> Option<String> {
    let wanted = file.file_name()?.to_string_lossy().into_owned();
    let names = files::names_of(file.parent()?, FILES_MAX, Owners::Anybody).ok()?;
    let names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    nearest(&wanted, names.iter().map(String::as_str)).map(str::to_owned)
}
