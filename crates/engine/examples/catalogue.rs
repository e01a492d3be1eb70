//! Writes the shipped catalogue as the file that `image_gen.import_catalogue()` takes: `make catalogue`.
#![allow(clippy::expect_used, reason = "a program for the developer ends with a message")]

use image_gen_engine::catalogue::Release;

fn main() {
    let shipped = Release::shipped();
    let faults = shipped.faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    println!("{}", serde_json::to_string_pretty(&shipped).expect("plain data"));
}
