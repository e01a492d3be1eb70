//! Every block of SQL on the pages runs as it is written, in order, as the role that the page says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, bindir, wait_until};

/// The pages, in the order in which they are read.
const PAGES: [&str; 11] = [
    "README.md",
    "docs/money.md",
    "docs/copies.md",
    "docs/cms.md",
    "docs/providers.md",
    "docs/storage.md",
    "docs/provenance.md",
    "docs/agents.md",
    "skills/image-gen/SKILL.md",
    "docs/operating.md",
    "docs/troubleshooting.md",
];
const DATABASE: &str = "pages";

/// A block of SQL, and what stands above it: `<!-- as ROLE, CONDITION -->`.
struct Block {
    at: String,
    role: String,
    condition: String,
    sql: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = vec![];
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "```sql") {
        let above = lines[at - 1].strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        // The blocks that other tests run, too, are an ordinary role's.
        let above = above.map_or("", |line| if line.starts_with("as ") { line } else { "as marketing" });
        let (role, condition) = above.split_once(", ").unwrap_or((above, ""));
        let sql = lines[at + 1..].iter().take_while(|line| **line != "```").copied();
        blocks.push(Block {
            at: format!("{page}:{}", at + 1),
            role: role.strip_prefix("as ").unwrap_or_default().to_owned(),
            condition: condition.to_owned(),
            sql: sql.collect::<Vec<_>>().join("\n"),
        });
    }
    blocks
}

/// Runs a block in psql, and stops at its first error.
fn psql(stage: &Stage, block: &Block) -> Result<(), String> {
    let mut psql = Command::new(bindir().join("psql"));
    psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, "-U", &block.role]);
    psql.env("PGHOST", stage.cluster.socket_folder()).env("PGPORT", "5432");
    let pipes = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(block.sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{} as {}: {}", block.at, block.role, String::from_utf8_lossy(&output.stderr))),
    }
}

#[test]
fn every_block_of_the_pages_runs_as_written_in_order_as_the_role_that_the_page_says() {
    let stage = Stage::with(Options::all_keys(&["image_gen.keep_bytes = 'all'"]));
    stage.cluster.admin("postgres").run(&format!("CREATE DATABASE {DATABASE}"));
    let (mut wrong, mut later, mut left_out, mut ran) = (vec![], vec![], 0, 0);
    for block in PAGES.iter().flat_map(|page| blocks(page)) {
        match block.condition.as_str() {
            "" => {}
            "after the installation" => {
                later.push(block);
                continue;
            }
            "with a file of one's own" => {
                left_out += 1;
                continue;
            }
            other => panic!("{}: what does {other} mean?", block.at),
        }
        let installs = block.sql.contains("CREATE EXTENSION");
        let mut due = vec![block];
        if installs {
            due.append(&mut later);
        }
        for block in due {
            wrong.extend(psql(&stage, &block).err());
            ran += 1;
            if block.sql.contains("CREATE EXTENSION") {
                stage.aim(DATABASE);
            }
            // The next block may use its images.
            let mut admin = stage.cluster.admin(DATABASE);
            wait_until(&format!("the jobs of {}", block.at), secs(60), || {
                admin.truth("SELECT count(*) = 0 FROM image_gen.jobs WHERE status IN ('queued', 'running')")
            });
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(later.is_empty() && ran >= 16 && left_out == 1, "{ran} blocks ran, {left_out} were left out");
    // And they made images.
    let mut admin = stage.cluster.admin(DATABASE);
    assert!(admin.number("SELECT count(*) FROM image_gen.campaign_assets") > 15);
    let failed = admin.column(
        "SELECT prompt || ': ' || error_message FROM image_gen.jobs WHERE status = 'failed' ORDER BY seq",
    );
    assert!(failed.iter().all(|job| job.starts_with("nobody in the background")), "{failed:#?}");
}
