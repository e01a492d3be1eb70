//! The whole crash matrix, and random kills: `make matrix KILLS=500 SEED=1`. It ends with an error when a promise is
//! broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken run ends the program")]

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use image_gen_tests::matrix::audit::Report;
use image_gen_tests::matrix::grid::{self, Cell};
use image_gen_tests::matrix::kill::Kill;
use image_gen_tests::matrix::point::Point;
use image_gen_tests::matrix::storm;

/// So many servers at a time.
const LANES: u64 = 2;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn main() -> ExitCode {
    let start = Instant::now();
    let kills = setting("KILLS").unwrap_or(500);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let seed = setting("SEED").unwrap_or(now);
    println!("{kills} random kills; SEED={seed} makes the same choices again");

    let (cells, mut sum) = all_places();
    let (table, wrong) = grid::table(&cells);
    println!("{table}\nuncertain where no answer was written down, and the provider cannot be asked\n");
    println!("places: {sum}\n{:.0?}\n", start.elapsed());
    sum.violations.extend(wrong);

    let lanes = LANES.min(kills);
    let share = |lane: u64| kills / lanes + u64::from(lane < kills % lanes);
    let storms: Vec<Report> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes)
            .map(|lane| scope.spawn(move || storm::play(share(lane), seed.wrapping_add(lane))))
            .collect();
        running.into_iter().map(|storm| storm.join().expect("a storm")).collect()
    });
    let mut random = Report::default();
    storms.into_iter().for_each(|storm| random += storm);
    println!("random: {random}\n");

    sum += random;
    println!("{sum}\n{:.0?}", start.elapsed());
    if sum.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every place, every kill, every kind of provider.
fn all_places() -> (Vec<Cell>, Report) {
    let mut cells = vec![];
    let mut sum = Report::default();
    for pair in Kill::ALL.chunks(LANES as usize) {
        let played: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> =
                pair.iter().map(|kill| scope.spawn(|| grid::play(*kill, &Point::ALL))).collect();
            running.into_iter().map(|grid| grid.join().expect("a grid")).collect()
        });
        for (more, report) in played {
            cells.extend(more);
            sum += report;
        }
    }
    (cells, sum)
}
