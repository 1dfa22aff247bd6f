//! [`Imports`]: which file of the crate takes what from which other one, and which of them go in
//! circles.
//!
//! It follows a name through every re-export to the file that defines it. A `pub use` alone is no
//! import. Bringing in a module is none either: what the code names through it is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support fails loudly")]
#![allow(unreachable_pub, reason = "pub marks what tests use; a test binary has no outside")]

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::source::{Import, Paths, for_tests};

/// How many re-exports a name is followed through.
const HOPS_MAX: usize = 8;

/// A file's imports: from which file, and what of it.
type Taken = BTreeMap<usize, BTreeSet<String>>;

/// The imports between numbered files.
pub struct Imports {
    taken: Vec<Taken>,
    /// What the error enums of a file name in their definitions, by the file that defines it.
    named_by_errors: Vec<Taken>,
}

impl Imports {
    /// Of files with the modules that they hold.
    pub fn of(files: &[(Vec<String>, &syn::File)]) -> Self {
        let modules =
            files.iter().enumerate().map(|(at, (module, _))| (module.clone(), at)).collect();
        let paths: Vec<Paths> =
            files.iter().map(|(module, syntax)| Paths::of(module.clone(), syntax)).collect();
        let held = files.iter().map(|(module, _)| module.clone()).collect();
        let names = Names {
            modules,
            held,
            imports: paths.iter().map(|paths| by_name(&paths.imports)).collect(),
        };
        let mut found = Self { taken: Vec::new(), named_by_errors: Vec::new() };
        for (at, (_, syntax)) in files.iter().enumerate() {
            let brought = paths[at]
                .imports
                .iter()
                .filter(|import| !import.is_export)
                .map(|import| &import.path);
            found.taken.push(names.taken(at, brought.chain(&paths[at].named)));
            found.named_by_errors.push(names.taken(at, &named_by_errors(syntax)));
        }
        found
    }

    /// What a file takes from another one.
    pub fn between(&self, from: usize, to: usize) -> Vec<&str> {
        self.taken[from].get(&to).into_iter().flatten().map(String::as_str).collect()
    }

    /// Whether a file takes from another one only what an error enum of its own names in its
    /// definition.
    pub fn is_of_an_error(&self, from: usize, to: usize) -> bool {
        let (taken, named) = (self.taken[from].get(&to), self.named_by_errors[from].get(&to));
        taken.zip(named).is_some_and(|(taken, named)| taken.is_subset(named))
    }

    /// Every import of a file by another one.
    pub fn all(&self) -> impl Iterator<Item = (usize, usize)> {
        self.taken
            .iter()
            .enumerate()
            .flat_map(|(from, taken)| taken.keys().map(move |to| (from, *to)))
    }
}

/// Groups in which each member reaches every other one.
pub fn circles<T: Ord + Clone>(imports: &BTreeSet<(T, T)>) -> Vec<BTreeSet<T>> {
    let mut next: BTreeMap<&T, Vec<&T>> = BTreeMap::new();
    for (from, to) in imports {
        next.entry(from).or_default().push(to);
    }
    let reach: BTreeMap<&T, BTreeSet<&T>> =
        next.keys().map(|from| (*from, reached(*from, &next))).collect();
    let both =
        |a: &T, b: &T| reach[a].contains(b) && reach.get(b).is_some_and(|back| back.contains(a));
    let mut found: Vec<BTreeSet<T>> = Vec::new();
    for member in reach.keys().filter(|member| both(member, member)) {
        if !found.iter().any(|circle| circle.contains(*member)) {
            found.push(
                reach[*member]
                    .iter()
                    .filter(|other| both(member, other))
                    .map(|other| (*other).clone())
                    .collect(),
            );
        }
    }
    found
}

fn reached<'a, T: Ord>(from: &T, next: &BTreeMap<&'a T, Vec<&'a T>>) -> BTreeSet<&'a T> {
    let after = |of: &T| next.get(of).into_iter().flatten().copied();
    let (mut seen, mut open) = (BTreeSet::new(), after(from).collect::<Vec<_>>());
    while let Some(member) = open.pop() {
        if seen.insert(member) {
            open.extend(after(member));
        }
    }
    seen
}

fn by_name(imports: &[Import]) -> BTreeMap<String, Vec<String>> {
    imports.iter().map(|import| (import.name.clone(), import.path.clone())).collect()
}

/// Where a name leads.
struct Names {
    modules: BTreeMap<Vec<String>, usize>,
    held: Vec<Vec<String>>,
    imports: Vec<BTreeMap<String, Vec<String>>>,
}

impl Names {
    fn taken<'a>(&self, by: usize, paths: impl IntoIterator<Item = &'a Vec<String>>) -> Taken {
        let mut taken = Taken::new();
        let found = paths.into_iter().filter_map(|path| self.definition(by, path, HOPS_MAX));
        for (file, item) in found.filter(|(file, _)| *file != by) {
            taken.entry(file).or_default().insert(item);
        }
        taken
    }

    /// The file that defines what a path in another one names, and its name there; none for a
    /// module and for another crate's.
    fn definition(&self, by: usize, path: &[String], hops: usize) -> Option<(usize, String)> {
        let (first, rest) = path.split_first()?;
        if first == "crate" {
            return self.defined(rest, hops);
        }
        if let Some(whole) = self.imports[by].get(first).filter(|whole| *whole != path) {
            let whole = [whole, rest].concat();
            return self.definition(by, &whole, hops.checked_sub(1)?);
        }
        let child = [&self.held[by][..], std::slice::from_ref(first)].concat();
        self.modules.contains_key(&child).then(|| self.defined(&[&child, rest].concat(), hops))?
    }

    fn defined(&self, path: &[String], hops: usize) -> Option<(usize, String)> {
        let depth =
            (0..=path.len()).rev().find(|depth| self.modules.contains_key(&path[..*depth]))?;
        let (file, item) = (self.modules[&path[..depth]], path.get(depth)?);
        match self.imports[file].get(item) {
            Some(whole) => {
                self.definition(file, &[whole, &path[depth + 1..]].concat(), hops.checked_sub(1)?)
            }
            None => Some((file, item.clone())),
        }
    }
}

/// The paths in the definitions of a file's error enums: those that are named so, and those that
/// are an `Error`.
fn named_by_errors(file: &syn::File) -> Vec<Vec<String>> {
    let errors: BTreeSet<String> = file.items.iter().filter_map(error_of_impl).collect();
    let mut found = InEnums { paths: Vec::new() };
    for item in &file.items {
        if let syn::Item::Enum(item) = item
            && !for_tests(&item.attrs)
            && (["Error", "Fault"].iter().any(|end| item.ident.to_string().ends_with(end))
                || errors.contains(&item.ident.to_string()))
        {
            found.visit_item_enum(item);
        }
    }
    found.paths
}

fn error_of_impl(item: &syn::Item) -> Option<String> {
    let syn::Item::Impl(item) = item else { return None };
    let (of, _) = item.trait_.as_ref()?;
    let syn::Type::Path(name) = &*item.self_ty else { return None };
    (of.segments.last()?.ident == "Error")
        .then(|| name.path.segments.last().map(|last| last.ident.to_string()))?
}

struct InEnums {
    paths: Vec<Vec<String>>,
}

impl<'a> Visit<'a> for InEnums {
    fn visit_path(&mut self, path: &'a syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}
