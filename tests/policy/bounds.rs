//! Files that were made to take long, or to be misread: each has its answer, in bounded time.

use std::time::{Duration, Instant};

use sealgate::loader::CheckSource;
use sealgate::policy::PolicyFile;

use crate::{check, line, look, text};

/// Longer than any of these takes on a slow machine, shorter than what has no bound.
const BOUND: Duration = Duration::from_secs(60);

fn said(name: &str, bytes: Vec<u8>) -> Vec<String> {
    let started = Instant::now();
    let file = PolicyFile { name: name.to_owned(), bytes };
    let checked = check(CheckSource::Read(file));
    assert!(started.elapsed() < BOUND, "{name}: {:?}", started.elapsed());
    checked.remarks.iter().map(line).collect()
}

fn document(number: usize) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: p{number}}}\nspec:\n  \
         images: [\"a.test/p{number}\"]\n  require: {{insecureAcceptAnything: true}}\n"
    )
}

#[test]
fn attack_d3_more_documents_than_a_set_may_have_are_one_error() {
    let files = (0..10u32).map(|file| {
        let first = usize::try_from(file).unwrap() * 1000;
        let documents: Vec<String> = (first..first + 1000).map(document).collect();
        text(&format!("{file}.yaml"), &documents.join("---\n"))
    });
    let started = Instant::now();
    let checked = look(files.collect(), None);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    assert_eq!(checked.remarks.iter().map(line).collect::<Vec<_>>(), ["error too-many -"]);
}

#[test]
fn attack_d3_a_file_that_is_too_large_is_one_error() {
    assert_eq!(said("a", vec![b' '; 1024 * 1024 + 1]), ["error file-too-large -"]);
    let bomb = "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n".to_owned();
    assert_eq!(said("b", bomb.into_bytes()), ["error not-plain 1:7"]);
    assert_eq!(said("c", vec![0xff, 0xfe]), ["error not-text -"]);
    assert_eq!(said("d", Vec::new()), ["error no-document-in-file -"]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(said("e", deep.into_bytes()).len(), 1);
}

/// A document as large as it may be, all of it patterns that have to be compared.
#[test]
fn attack_d3_patterns_that_combine_are_compared_in_bounded_time() {
    let list = |letter: char| {
        let pattern = |n| format!("\"a.test/{n}{}\"", format!("*{letter}").repeat(100));
        (0..1000).map(pattern).collect::<Vec<_>>().join(",")
    };
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: a}}\nspec:\n  images: [{}]\n  \
         exclude: [{}]\n  require: {{insecureAcceptAnything: true}}\n",
        list('x'),
        list('y')
    );
    assert!(text.len() < 1024 * 1024, "{}", text.len());
    assert_eq!(said("a", text.into_bytes()), ["warning accepts-anything 7:37"]);
}
