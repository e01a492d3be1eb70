//! Each place × each kill × each kind of provider, once.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::audit::{self, Report};
use super::field::{Field, KINDS};
use super::kill::Kill;
use super::point::Point;
use super::reviews;

/// What became of one job.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Where it was.
    pub point: Point,
    /// What was killed.
    pub kill: Kill,
    /// Its provider.
    pub kind: &'static str,
    /// How it ended.
    pub outcome: String,
    /// How it should have.
    pub expected: &'static str,
}

/// Kills in this way at all these places, on a server of its own.
///
/// # Panics
/// When a place is not reached, or a job does not end.
pub fn play(kill: Kill, points: &[Point]) -> (Vec<Cell>, Report) {
    let field = Field::start(0.3, &[]);
    let mut cells = vec![];
    let mut known = vec![];
    for point in points {
        let text = format!("[{point}");
        let kinds: Vec<_> = KINDS.iter().filter(|kind| point.is_on_the_way(kind)).collect();
        field.forget_places();
        point.prepare(&field, &text);
        let mut alice = field.connect("alice");
        let jobs: Vec<String> = kinds
            .iter()
            .map(|kind| {
                let prompt = point.prompt(&format!("{text} {}]", kind.name));
                alice.generate_with(&format!("prompt => '{prompt}', {}", kind.arguments))
            })
            .collect();
        drop(alice);
        point.wait_for(&field, &jobs, &text);
        kill.strike(&field);
        let ended = field.connect("alice").all_done(&jobs);
        for (kind, job) in kinds.iter().zip(&ended) {
            let outcome = match job.status.as_str() {
                "succeeded" => "succeeded".to_owned(),
                "needs_review" if job.error_code == "uncertain" => "uncertain".to_owned(),
                "failed" => job.error_code.clone(),
                other => format!("{other}: {}", job.error_code),
            };
            let expected = point.expected(kill, kind);
            cells.push(Cell { point: *point, kill, kind: kind.name, outcome, expected });
        }
        known.extend(jobs);
    }
    let mut report = audit::check(&field, &known);
    report.violations.extend(reviews::decide(&field));
    (cells, Report { kills: points.len() as u64, ..report })
}

/// Point × kill × provider → outcome, and which cells are not what they should be.
pub fn table(cells: &[Cell]) -> (String, Vec<String>) {
    let mut rows: BTreeMap<(Point, Kill), Vec<&Cell>> = BTreeMap::new();
    for cell in cells {
        rows.entry((cell.point, cell.kill)).or_default().push(cell);
    }
    let mut text = format!("{:<24}{:<20}", "place", "kill");
    for kind in KINDS {
        let _ = write!(text, "{:<11}", kind.name);
    }
    for ((point, kill), row) in rows {
        let _ = write!(text, "\n{:<24}{:<20}", point.to_string(), kill.to_string());
        for kind in KINDS {
            let cell = row.iter().find(|cell| cell.kind == kind.name);
            let _ = write!(text, "{:<11}", cell.map_or("-", |cell| cell.outcome.as_str()));
        }
    }
    let wrong = cells
        .iter()
        .filter(|c| c.outcome != c.expected)
        .map(|c| format!("{}, {}, {}: {} instead of {}", c.point, c.kill, c.kind, c.outcome, c.expected));
    (text, wrong.collect())
}
