//! `docs/reference.md` is what the database says of itself: `UPDATE_EXPECT=1 cargo test -p image_gen_tests --test reference` renews it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use image_gen_tests::{Cluster, Options, Session};

const HEAD: &str = "# SQL reference

Made from the COMMENTs and the settings of the installed extension; the test `reference` fails when it is out of date. `\\df+ image_gen.*` and `\\d+` in psql show the same. What is in the schema
`image_gen_internal` is the machinery, and may change with every version.
";

/// A section: its title, and its entries as (signature, comment).
fn section(page: &mut String, title: &str, entries: Vec<Vec<String>>) {
    assert!(!entries.is_empty(), "{title}");
    write!(page, "\n## {title}\n").unwrap();
    for entry in entries {
        let [signature, comment] = entry.try_into().expect("two columns");
        assert!(!comment.is_empty(), "{signature} has no comment");
        write!(page, "\n### `{signature}`\n\n{}\n", escaped(&comment)).unwrap();
    }
}

/// A comment as Markdown: its words, and nothing that Markdown would read into them.
fn escaped(comment: &str) -> String {
    let joined = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    for c in joined.chars() {
        if matches!(c, '<' | '>' | '*' | '_' | '`' | '\\' | '|' | '[' | ']' | '~') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

fn page(admin: &mut Session) -> String {
    let mut page = HEAD.to_owned();
    let functions = admin.rows(
        "SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ') -> ' || pg_get_function_result(p.oid), obj_description(p.oid, 'pg_proc')
           FROM pg_proc p WHERE p.pronamespace = 'image_gen'::regnamespace AND p.prorettype <> 'trigger'::regtype
          ORDER BY p.proname COLLATE \"C\", p.oid::regprocedure::text COLLATE \"C\"",
    );
    section(&mut page, "Functions", functions);
    for (title, kind) in [("Views", "v"), ("Tables", "r")] {
        let entries = admin.rows(&format!(
            "SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), '') || coalesce(' Columns: ' || (
                      SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || coalesce(' (' || rtrim(col_description(c.oid, a.attnum), '.') || ')', ''), '; ' ORDER BY a.attnum)
                        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) || '.', '')
               FROM pg_class c WHERE c.relnamespace = 'image_gen'::regnamespace AND c.relkind = '{kind}' ORDER BY c.relname COLLATE \"C\""
        ));
        section(&mut page, title, entries);
    }
    let types = admin.rows(
        "SELECT t.typname, obj_description(t.oid, 'pg_type') FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
          WHERE t.typnamespace = 'image_gen'::regnamespace AND (t.typtype = 'd' OR c.relkind = 'c') ORDER BY t.typname COLLATE \"C\"",
    );
    section(&mut page, "Types", types);
    let settings = admin.rows(
        "SELECT s.name || ' = ' || quote_literal(s.boot_val) || coalesce(' ' || s.unit, ''),
                concat_ws(' ', s.short_desc, s.extra_desc, CASE s.vartype WHEN 'enum' THEN 'One of: ' || array_to_string(s.enumvals, ', ') || '.' WHEN 'integer' THEN format('%s to %s.', s.min_val, s.max_val)
                                                              WHEN 'real' THEN format('%s to %s.', s.min_val, s.max_val) END,
                          CASE s.context WHEN 'sighup' THEN 'In postgresql.conf, and at every reload.' WHEN 'superuser' THEN 'A superuser sets it, also for a database or role.' WHEN 'user' THEN 'Any session sets it, also for a database or role.' END)
           FROM pg_settings s WHERE s.name LIKE 'image\\_gen.%' ORDER BY s.name COLLATE \"C\"",
    );
    section(&mut page, "Settings", settings);
    page
}

#[test]
fn the_reference_is_what_the_database_says_of_itself() {
    let cluster = Cluster::start(Options { preload: false, ..Options::conf(&["max_worker_processes = 0"]) });
    cluster.admin("postgres").run("CREATE DATABASE shop");
    let mut admin = cluster.admin("shop");
    admin.run("SET client_min_messages = error; CREATE EXTENSION image_gen; SELECT image_gen.needs_text('')");
    let made = page(&mut admin);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let different = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(made == kept, "docs/reference.md is out of date; first difference: {different:#?}");
}
