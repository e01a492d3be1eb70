//! A dump has the figures, and they are right where it is restored.

use std::process::{Command, Stdio};

use image_gen_tests::Stage;
use image_gen_tests::stage::DATABASE;

use crate::common::{PRO, check_books, stage};

/// A client program of the server under test.
fn client(stage: &Stage, program: &str, database: &str) -> Command {
    let pg_config = std::env::var_os("PG_CONFIG").unwrap_or("pg_config".into());
    let output = Command::new(pg_config).arg("--bindir").output().expect("pg_config runs");
    let folder = String::from_utf8(output.stdout).unwrap();
    let mut command = Command::new(format!("{}/{program}", folder.trim()));
    command.env("PGHOST", stage.cluster.socket_folder()).env("PGPORT", "5432").env("PGUSER", "postgres");
    command.arg(format!("--dbname={database}"));
    command
}

#[test]
fn figures_survive_a_dump() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run(
        "SELECT image_gen.set_budget('workspace', NULL, 1, 'month'); SELECT image_gen.set_budget('role', 'alice', 2, '30 days');
         SELECT image_gen.grant_credits(0.5); SELECT image_gen.grant_credits(0.3, 'campaign', 'c')",
    );
    let ids: Vec<String> = (0..3)
        .map(|n| {
            alice.generate_with(&format!(
                "prompt => 'dumped {n}', metadata => '{{\"campaign\": \"c\"}}', {PRO}"
            ))
        })
        .collect();
    alice.all_succeed(&ids);
    admin.run(
        "SELECT image_gen.import_invoice('bfl', now() - interval '1 day', now() + interval '1 day', 0.13)",
    );
    admin.run("CREATE DATABASE copy");
    let mut dump = client(&stage, "pg_dump", DATABASE).stdout(Stdio::piped()).spawn().unwrap();
    let mut psql = client(&stage, "psql", "copy");
    let restored =
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1"]).stdin(dump.stdout.take().unwrap()).output().unwrap();
    assert!(dump.wait().unwrap().success() && restored.status.success(), "{restored:?}");
    let mut copy = stage.cluster.admin("copy");
    for figures in [
        "SELECT scope, spent, reserved, limit_amount, available, period FROM image_gen.credits() WHERE scope <> 'role:postgres' ORDER BY 1",
        "SELECT * FROM image_gen.budgets ORDER BY id",
        "SELECT * FROM image_gen.budget_changes ORDER BY id",
        "SELECT campaign, billed, calls, images FROM image_gen.cost_by_campaign",
        "SELECT what, invoiced, booked, difference FROM image_gen.invoice_diff",
    ] {
        assert_eq!(copy.rows(figures), admin.rows(figures), "{figures}");
    }
    assert!(copy.rows("SELECT * FROM image_gen.check_budgets()").is_empty());
    // The next limit and the next job have numbers of their own.
    copy.run("SELECT image_gen.set_budget('ticket', 'T', 1)");
    copy.run(&format!("SELECT image_gen.generate(prompt => 'next', {PRO})"));
    assert_eq!(copy.rows("SELECT * FROM image_gen.check_budgets()"), Vec::<Vec<String>>::new());
    check_books(&stage);
}
