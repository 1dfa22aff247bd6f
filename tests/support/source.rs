//! The crate's own source as tests read it: which files there are, which of them are for tests
//! alone, and every path that a file names ([`Paths`]). It resolves `crate::`, `super::` and
//! `self::`, and looks into macros; it does not follow re-exports, which `imports.rs` does.

#![allow(dead_code, reason = "shared by several test binaries, each uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test support fails loudly"
)]
#![allow(unreachable_pub, reason = "pub marks what tests use; a test binary has no outside")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Every Rust file below a folder, in order.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    let mut files: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    files.sort();
    files
}

/// Whether a file is compiled for tests alone.
pub fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// Whether an item is compiled for tests alone.
pub fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

/// The module that a file below `src` holds, from the crate's root.
pub fn module_of(file: &Path) -> Vec<String> {
    let module = file.strip_prefix("src").unwrap().with_extension("");
    let mut module: Vec<String> =
        module.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// Every path that a file names, from the crate's root, `use` trees flattened.
pub fn paths_of(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let syntax =
        syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Paths::of(module_of(file), &syntax).all()
}

/// One name that a `use` brings in.
pub struct Import {
    /// As what the file knows it.
    pub name: String,
    /// What it is, from the crate's root where the file says so.
    pub path: Vec<String>,
    /// Whether others may take it from here.
    pub is_export: bool,
}

/// The paths of one file, without what is compiled for tests alone.
pub struct Paths {
    module: Vec<String>,
    /// What `use` items bring in.
    pub imports: Vec<Import>,
    /// What the code names.
    pub named: BTreeSet<Vec<String>>,
}

impl Paths {
    /// The paths of a file that holds this module.
    pub fn of(module: Vec<String>, file: &syn::File) -> Self {
        let mut paths = Self { module, imports: Vec::new(), named: BTreeSet::new() };
        paths.visit_file(file);
        paths
    }

    /// Imports and code alike, as text.
    pub fn all(&self) -> BTreeSet<String> {
        let imported = self.imports.iter().map(|import| import.path.join("::"));
        imported.chain(self.named.iter().map(|path| path.join("::"))).collect()
    }

    fn absolute(&self, segments: &[String]) -> Vec<String> {
        let from_root =
            |kept: &[String], rest: &[String]| [&["crate".to_owned()], kept, rest].concat();
        match segments.first().map(String::as_str) {
            Some("self") => from_root(&self.module, &segments[1..]),
            Some("super") => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                from_root(&self.module[..self.module.len().saturating_sub(ups)], &segments[ups..])
            }
            _ => segments.to_vec(),
        }
    }

    fn flatten(&mut self, prefix: &[String], tree: &syn::UseTree, is_export: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (path, name) = match tree {
            syn::UseTree::Path(path) => {
                return self.flatten(&with(&path.ident), &path.tree, is_export);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.flatten(prefix, tree, is_export));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                (prefix.to_vec(), prefix.last().unwrap().clone())
            }
            syn::UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            syn::UseTree::Rename(rename) if rename.ident == "self" => {
                (prefix.to_vec(), rename.rename.to_string())
            }
            syn::UseTree::Rename(rename) => (with(&rename.ident), rename.rename.to_string()),
            syn::UseTree::Glob(_) => ([prefix, &["*".to_owned()]].concat(), "*".to_owned()),
        };
        self.imports.push(Import { name, path: self.absolute(&path), is_export });
    }

    /// Adds the paths of two segments or more in a macro's tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.end(&mut path);
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct)
                    if punct.as_char() == ':'
                        && (colons == 1 || punct.spacing() == Spacing::Joint) =>
                {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.end(&mut path),
            }
            colons = 0;
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.named.insert(self.absolute(path));
        }
        path.clear();
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !for_tests(&item.attrs) {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if !for_tests(&item.attrs) {
            self.flatten(&[], &item.tree, !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if !for_tests(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.named.insert(self.absolute(&segments));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}
