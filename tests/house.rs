//! How the house stands, as a test: how large folders, files and functions are, what goes in
//! circles, and how many types share a name. `make house` prints the table; a bound that is
//! exceeded fails.
//!
//! Production code is what lies below `src` and is not compiled for tests alone. `lib.rs` and
//! `main.rs` import everything and are in no circle.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails loudly, and this one prints"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

#[path = "support/imports.rs"]
mod imports;
#[path = "support/source.rs"]
mod source;

use imports::{Imports, circles};
use source::{for_tests, is_test, module_of, rust_files};

/// Files of production code in one folder, without those of the folders in it.
const FOLDER_MAX: usize = 14;
/// Lines of one file, its tests included.
const FILE_LINES_MAX: usize = 450;
/// Lines of one function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;
/// Type names that more than two types have.
const SHARED_NAMES_MAX: usize = 15;
/// The rooms' own nouns, which another room's do not get in the way of.
const FREE_NAMES: [&str; 2] = ["Options", "Error"];
/// Lines of production code before the rooms became folders.
const LINES_BEFORE: usize = 51_074;

/// What counts against a bound, and how much of it there may be. A number above zero is what stands
/// today: it may only fall, and goes to zero.
const ALLOWED: [(&str, usize); 6] = [
    ("folders over 14 files", 0),
    ("files in circles", 0),
    ("folders in circles", 0),
    ("names of more than two types over 15", 0),
    ("functions over 60 lines", 0),
    ("files over 450 lines", 0),
];

#[test]
fn the_house_is_within_its_bounds() {
    let house = House::of(rust_files(Path::new("src")).into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), text)
    }));
    print!("{}", house.table());
    let over: Vec<String> = ALLOWED
        .into_iter()
        .map(|(what, may)| (what, house.faults(what).len(), may))
        .filter(|(_, are, may)| are > may)
        .map(|(what, are, may)| format!("{what}: {are} of at most {may}"))
        .collect();
    assert!(over.is_empty(), "\n{}", over.join("\n"));
}

/// Unit tests stand at the end of a file, or in `foo/tests.rs` for `foo.rs`, or below that.
#[test]
fn unit_tests_stand_beside_what_they_test() {
    let mut found = 0;
    for path in rust_files(Path::new("src")) {
        assert!(!path.ends_with("tests/mod.rs"), "{}: tests.rs beside the folder", path.display());
        let text = fs::read_to_string(&path).unwrap();
        let named_test = |of: &syn::Attribute| of.path().segments.last().unwrap().ident == "test";
        let is_test = |item: &syn::Item| {
            let syn::Item::Fn(function) = item else { return false };
            function.attrs.iter().any(named_test)
        };
        // A module of hooks for tests has no test in it.
        let has_tests = |module: &syn::ItemMod| match &module.content {
            Some((_, items)) => items.iter().any(is_test),
            None => true,
        };
        let module = |item: &syn::Item| {
            let syn::Item::Mod(module) = item else { return None };
            let holds = for_tests(&module.attrs) && has_tests(module);
            holds.then(|| module.ident.to_string())
        };
        for name in syn::parse_file(&text).unwrap().items.iter().filter_map(module) {
            assert_eq!(name, "tests", "{}: a module for tests alone", path.display());
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
}

/// A file below `src`.
struct File {
    path: String,
    /// All lines, and those of production code.
    lines: (usize, usize),
    types: Vec<String>,
    /// Functions with their lines.
    functions: Vec<(String, usize)>,
}

struct House {
    files: Vec<File>,
    /// The folders in which production code lies.
    folders: BTreeSet<String>,
    /// Of files by their numbers.
    imports: Imports,
}

impl House {
    fn of(files: impl Iterator<Item = (String, String)>) -> Self {
        let read: Vec<(String, String, syn::File)> = files
            .map(|(path, text)| {
                let syntax =
                    syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
                (path, text, syntax)
            })
            .collect();
        let nothing = syn::parse_file("").unwrap();
        let modules: Vec<(Vec<String>, &syn::File)> = read
            .iter()
            .map(|(path, _, syntax)| {
                let apart = is_test(Path::new(path)) || path == "src/main.rs";
                (module_of(Path::new(path)), if apart { &nothing } else { syntax })
            })
            .collect();
        let imports = Imports::of(&modules);
        let files: Vec<File> =
            read.iter().map(|(path, text, syntax)| File::of(path, text, syntax)).collect();
        let production = files.iter().filter(|file| !is_test(Path::new(&file.path)));
        let folders =
            production.map(|file| file.path.rsplit_once('/').unwrap().0.to_owned()).collect();
        Self { files, folders, imports }
    }

    fn production(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| !is_test(Path::new(&file.path)))
    }

    /// The folder that a file is in; `room.rs` is in `room/` where there is one.
    fn folder(&self, path: &str) -> String {
        let own = path.strip_suffix(".rs").unwrap();
        if self.folders.contains(own) {
            own.to_owned()
        } else {
            path.rsplit_once('/').unwrap().0.to_owned()
        }
    }

    /// A folder, or a file that is a room by itself.
    fn room(&self, path: &str) -> String {
        let folder = self.folder(path);
        if folder == "src" { path.to_owned() } else { folder }
    }

    /// Files and lines of production code, by folder.
    fn folders(&self) -> BTreeMap<String, (usize, usize)> {
        let mut folders = BTreeMap::new();
        for file in self.production() {
            let (files, lines) = folders.entry(self.folder(&file.path)).or_insert((0, 0));
            *files += 1;
            *lines += file.lines.1;
        }
        folders
    }

    fn path(&self, at: usize) -> &str {
        &self.files[at].path
    }

    /// Imports between files, without those that an error enum needs.
    fn file_imports(&self) -> BTreeSet<(usize, usize)> {
        self.imports.all().filter(|(from, to)| !self.imports.is_of_an_error(*from, *to)).collect()
    }

    /// Circles of files that exist only for what an error enum names.
    fn excepted(&self) -> Vec<String> {
        let all: BTreeSet<(usize, usize)> = self.imports.all().collect();
        let around = circles(&all);
        let together = |(from, to): &(usize, usize)| {
            around.iter().any(|one| one.contains(from) && one.contains(to))
        };
        let named =
            all.difference(&self.file_imports()).copied().filter(together).collect::<Vec<_>>();
        named.into_iter().map(|(from, to)| self.import(from, to)).collect()
    }

    fn import(&self, from: usize, to: usize) -> String {
        format!(
            "{} takes {} of {}",
            self.path(from),
            self.imports.between(from, to).join(", "),
            self.path(to)
        )
    }

    fn folder_imports(&self) -> BTreeMap<(String, String), Vec<(usize, usize)>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (from, to) in self.imports.all() {
            let rooms = (self.room(self.path(from)), self.room(self.path(to)));
            if rooms.0 != rooms.1 && rooms.1 != "src/lib.rs" {
                found.entry(rooms).or_default().push((from, to));
            }
        }
        found
    }

    /// Everything that counts against one bound.
    fn faults(&self, what: &str) -> Vec<String> {
        match what {
            "folders over 14 files" => {
                let large =
                    self.folders().into_iter().filter(|(_, (files, _))| *files > FOLDER_MAX);
                large.map(|(folder, (files, _))| format!("{folder}: {files}")).collect()
            }
            "files in circles" => {
                let found = circles(&self.file_imports());
                found.iter().flatten().map(|file| self.path(*file).to_owned()).collect()
            }
            "folders in circles" => {
                let found = circles(&self.folder_imports().into_keys().collect());
                found.into_iter().flatten().collect()
            }
            "names of more than two types over 15" => {
                self.shared_names().into_iter().skip(SHARED_NAMES_MAX).collect()
            }
            "functions over 60 lines" => {
                let all = self
                    .production()
                    .flat_map(|file| file.functions.iter().map(move |one| (&file.path, one)));
                let long = all.filter(|(_, (_, lines))| *lines > FUNCTION_LINES_MAX);
                long.map(|(path, (name, lines))| format!("{path}: {name} has {lines}")).collect()
            }
            "files over 450 lines" => {
                let long = self.files.iter().filter(|file| file.lines.0 > FILE_LINES_MAX);
                long.map(|file| format!("{} has {}", file.path, file.lines.0)).collect()
            }
            other => panic!("{other} is no bound"),
        }
    }

    fn shared_names(&self) -> Vec<String> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.production().flat_map(|file| &file.types) {
            *names.entry(name).or_default() += 1;
        }
        let shared =
            names.into_iter().filter(|(name, types)| *types > 2 && !FREE_NAMES.contains(name));
        shared.map(|(name, types)| format!("{name} ({types})")).collect()
    }

    fn table(&self) -> String {
        let mut out = String::from("files  lines  folder\n");
        let folders = self.folders();
        for (folder, (files, lines)) in &folders {
            writeln!(out, "{files:5}  {lines:5}  {folder}").unwrap();
        }
        let (largest, (files, _)) = folders.iter().max_by_key(|(_, (files, _))| *files).unwrap();
        writeln!(out, "\nlargest folder: {largest}, {files} files of at most {FOLDER_MAX}")
            .unwrap();
        let lines: usize = self.production().map(|file| file.lines.1).sum();
        writeln!(out, "production lines: {lines}, before {LINES_BEFORE}").unwrap();
        writeln!(out, "names of more than two types: {}", self.shared_names().join(", ")).unwrap();
        self.list_circles(&mut out);
        for (what, may) in ALLOWED {
            let faults = self.faults(what);
            writeln!(out, "\n{what}: {} of at most {may}", faults.len()).unwrap();
            faults.iter().for_each(|fault| writeln!(out, "  {fault}").unwrap());
        }
        out
    }

    /// Which imports make the circles.
    fn list_circles(&self, out: &mut String) {
        let files = self.file_imports();
        for circle in circles(&files) {
            writeln!(out, "\ncircle of {} files", circle.len()).unwrap();
            let inside =
                files.iter().filter(|(from, to)| circle.contains(from) && circle.contains(to));
            inside.for_each(|(from, to)| writeln!(out, "  {}", self.import(*from, *to)).unwrap());
        }
        let folders = self.folder_imports();
        for circle in circles(&folders.keys().cloned().collect()) {
            writeln!(out, "\ncircle of {} folders", circle.len()).unwrap();
            for ((from, to), by) in folders
                .iter()
                .filter(|((from, to), _)| circle.contains(from) && circle.contains(to))
            {
                let example = by.first().map(|(from, to)| self.import(*from, *to)).unwrap();
                writeln!(out, "  {from} on {to}, {} times: {example}", by.len()).unwrap();
            }
        }
        writeln!(out, "\nnot counted, because an error enum names it:").unwrap();
        self.excepted().iter().for_each(|import| writeln!(out, "  {import}").unwrap());
    }
}

impl File {
    fn of(path: &str, text: &str, syntax: &syn::File) -> Self {
        let lines = text.lines().count();
        let mut items = Items::default();
        items.visit_file(syntax);
        Self {
            path: path.to_owned(),
            lines: (lines, lines - items.test_lines),
            types: items.types,
            functions: items.functions,
        }
    }
}

/// What a file defines outside its tests.
#[derive(Default)]
struct Items {
    types: Vec<String>,
    functions: Vec<(String, usize)>,
    test_lines: usize,
}

impl<'a> Visit<'a> for Items {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the rest are neither types nor functions, and syn may add more"
    )]
    fn visit_item(&mut self, item: &'a syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Union(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Fn(item) => (&item.attrs, None),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Use(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if for_tests(attributes) {
            self.test_lines += lines_of(item.span());
            return;
        }
        self.types.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

impl Items {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = lines_of(signature.span()) + lines_of(block.span()) - 1;
        self.functions.push((signature.ident.to_string(), lines));
    }
}

fn lines_of(span: proc_macro2::Span) -> usize {
    span.end().line - span.start().line + 1
}

/// The checker itself: what it must see through.
#[test]
fn the_checker_sees_circles_and_nothing_else() {
    let house = |files: &[(&str, &str)]| {
        House::of(files.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned())))
    };
    let files = |files: &[(&str, &str)]| house(files).faults("files in circles");
    let rooms = |files: &[(&str, &str)]| house(files).faults("folders in circles");
    let lib = ("lib.rs", "pub mod a; pub mod b;");
    let a = ("a/mod.rs", "mod one; mod two; pub use one::One; pub use two::{Two, TwoError};");
    // Through the re-export at the room's root, and with the code alone.
    let one = ("a/one.rs", "use super::Two; pub struct One(Two);");
    let two =
        ("a/two.rs", "use crate::a; pub struct Two; pub enum TwoError {} fn f(one: a::One) {}");
    assert_eq!(files(&[lib, a, one, two]), ["src/a/one.rs", "src/a/two.rs"]);
    assert!(files(&[lib, a, one, ("a/two.rs", "pub struct Two;")]).is_empty());
    let in_tests = ("a/two.rs", "pub struct Two; #[cfg(test)] mod tests { use crate::a::One; }");
    assert!(files(&[lib, a, one, in_tests]).is_empty());
    // An error enum may name what fails with it, and its file may take nothing else.
    let failing =
        ("a/one.rs", "use super::TwoError; pub struct One; fn f() -> TwoError {} fn g() {}");
    let error = ("a/two.rs", "use super::One; pub enum TwoError { Of(One) }");
    let excepted = house(&[lib, a, failing, error]);
    assert!(excepted.faults("files in circles").is_empty());
    assert_eq!(excepted.excepted(), ["src/a/two.rs takes One of src/a/one.rs"]);
    let more = ("a/two.rs", "use super::one::{One, g}; pub enum TwoError { Of(One) }");
    assert_eq!(files(&[lib, a, failing, more]).len(), 2);
    // Rooms on each other without any file on its own importer.
    let b = ("b.rs", "pub struct B(crate::a::Two);");
    let on_b = ("a/one.rs", "pub struct One(crate::b::B);");
    assert_eq!(rooms(&[lib, a, on_b, ("a/two.rs", "pub struct Two;"), b]), ["src/a", "src/b.rs"]);
    assert!(rooms(&[lib, a, one, ("a/two.rs", "pub struct Two;"), b]).is_empty());
}
