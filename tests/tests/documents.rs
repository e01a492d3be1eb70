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
