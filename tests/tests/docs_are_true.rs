//! What the documentation says about the tests is so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The file of a test: `engine/…` is the engine's, all others are beside this one.
fn file(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match name.strip_prefix("engine/") {
        Some(rest) => root.join(format!("../crates/engine/{rest}.rs")),
        None => root.join(format!("tests/{name}.rs")),
    }
}

/// Whether a file has a test function of this name, which is not ignored.
fn has_test(text: &str, test: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&format!("fn {test}("))) else {
        return false;
    };
    let above: Vec<&str> =
        lines[..at].iter().rev().take_while(|line| line.starts_with('#')).copied().collect();
    above.contains(&"#[test]") && !above.iter().any(|line| line.starts_with("#[ignore"))
}

#[test]
fn every_test_that_the_table_names_exists() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/failure-modes.md");
    let page = fs::read_to_string(page).unwrap();
    let (mut numbers, mut with_tests, mut missing) = (vec![], 0, vec![]);
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let names = line.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"));
        let mut tests = 0;
        for (module, test) in names {
            tests += 1;
            let found = fs::read_to_string(file(module)).is_ok_and(|text| has_test(&text, test));
            if !found {
                missing.push(format!("{module}::{test}"));
            }
        }
        if let Ok(number) = cells[0].parse::<u32>() {
            assert_eq!(cells.len(), 4, "{line}");
            numbers.push(number);
            with_tests += u32::from(tests > 0);
            // Without a test there is a reason.
            assert!(tests > 0 || cells[3].len() > 20, "{line}");
        }
    }
    assert!(missing.is_empty(), "these tests do not exist: {missing:#?}");
    assert_eq!(numbers, (1..=70).collect::<Vec<u32>>());
    assert!(with_tests >= 60, "{with_tests} of 70");
}

/// The lines of a Rust file that are no comment, up to its tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
    lines.map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn what_a_client_prints_is_ascii() {
    // A client of another encoding gets an error in the place of each message that it has no character for.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![];
    files(&root.join("sql"), "sql", &mut found);
    for folder in ["src", "crates/engine/src"] {
        files(&root.join(folder), "rs", &mut found);
    }
    assert!(found.len() > 60);
    let mut wrong = vec![];
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let is_sql = path.extension().is_some_and(|e| e == "sql");
        let lines: Vec<(usize, &str)> =
            if is_sql { (1..).zip(text.lines()).collect() } else { code(&text).collect() };
        // What comes behind code is a comment where it begins with two slashes.
        let printed = |line: &str| !line.split(" // ").next().unwrap_or_default().is_ascii();
        let odd = lines.into_iter().filter(|(_, line)| printed(line));
        wrong.extend(odd.map(|(number, line)| format!("{}:{number}: {line}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
