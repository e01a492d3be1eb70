//! Who may do what with each object of the extension: `docs/privileges.md` is what the catalogs say. A new grant fails this test until
//! the page is renewed, and so is read by who reviews the change:
//! `UPDATE_EXPECT=1 cargo test -p image_gen_tests --test privileges`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use image_gen_tests::{Cluster, Options, Session};

const ROLES: &str =
    "image_gen_user, image_gen_reviewer, image_gen_admin, image_gen_worker, pg_monitor, PUBLIC";

/// What each of the roles has on tables and views, in the letters of `\dp`; columns where that is not the whole.
const TABLES: &str = "
WITH objects AS (
  SELECT c.oid, format('%s.%s', n.nspname, c.relname) AS name, c.relkind, c.relrowsecurity, coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner)) AS acl
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname IN ('image_gen', 'image_gen_internal') AND c.relkind IN ('r', 'v', 'm', 'S', 'p', 'f')
), letters(privilege, letter) AS (
  VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd'), ('TRUNCATE', 'D'), ('REFERENCES', 'x'), ('TRIGGER', 't'), ('USAGE', 'U'), ('MAINTAIN', 'm')
), whole AS (
  SELECT o.oid, a.grantee, string_agg(l.letter, '' ORDER BY l.letter COLLATE \"C\") AS shown
    FROM objects o, aclexplode(o.acl) a JOIN letters l ON l.privilege = a.privilege_type GROUP BY 1, 2
), part AS (
  SELECT o.oid, a.grantee, string_agg(format('%s(%s)', l.letter, t.attname), ' ' ORDER BY l.letter COLLATE \"C\", t.attname COLLATE \"C\") AS shown
    FROM objects o JOIN pg_attribute t ON t.attrelid = o.oid, aclexplode(t.attacl) a JOIN letters l ON l.privilege = a.privilege_type GROUP BY 1, 2
)
SELECT o.name, CASE o.relkind WHEN 'r' THEN CASE WHEN o.relrowsecurity THEN 'table, rows' ELSE 'table' END WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'other' END{roles}
  FROM objects o ORDER BY o.name COLLATE \"C\"";

const FUNCTIONS: &str = "
WITH objects AS (
  SELECT p.oid, format('%s.%s(%s)', n.nspname, p.proname, (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY o) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u(t, o))) AS name,
         p.prosecdef, p.prorettype, n.nspname, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('image_gen', 'image_gen_internal')
), grants AS (
  SELECT o.oid, a.grantee FROM objects o, aclexplode(o.acl) a WHERE a.privilege_type = 'EXECUTE'
)
SELECT o.name, CASE WHEN o.prosecdef THEN 'definer' ELSE 'invoker' END{roles}
  FROM objects o ORDER BY o.name COLLATE \"C\"";

const OTHERS: &str = "
WITH objects AS (
  SELECT 'schema ' || n.nspname AS name, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl FROM pg_namespace n WHERE n.nspname IN ('image_gen', 'image_gen_internal')
  UNION ALL
  SELECT CASE t.typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || n.nspname || '.' || t.typname, coalesce(t.typacl, acldefault('T', t.typowner))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
   WHERE n.nspname IN ('image_gen', 'image_gen_internal') AND (t.typtype = 'd' OR c.relkind = 'c')
), granted AS (
  SELECT o.name, a.grantee, string_agg(a.privilege_type, ' ' ORDER BY a.privilege_type COLLATE \"C\") AS shown FROM objects o, aclexplode(o.acl) a GROUP BY 1, 2
)
SELECT o.name, ''{roles}
  FROM objects o ORDER BY o.name COLLATE \"C\"";

/// What each role may do, in the order of [`ROLES`].
const OF_TABLES: &str = "(SELECT concat_ws(' ', (SELECT w.shown FROM whole w WHERE w.oid = o.oid AND w.grantee = r.oid), (SELECT p.shown FROM part p WHERE p.oid = o.oid AND p.grantee = r.oid)) FROM role r WHERE r.n = {n})";
const OF_FUNCTIONS: &str = "(SELECT CASE WHEN (o.oid, r.oid) IN (SELECT g.oid, g.grantee FROM grants g) THEN 'X' ELSE '' END FROM role r WHERE r.n = {n})";
const OF_OTHERS: &str =
    "(SELECT g.shown FROM granted g JOIN role r ON r.oid = g.grantee AND r.n = {n} WHERE g.name = o.name)";

fn table(
    page: &mut String,
    admin: &mut Session,
    title: &str,
    said: &str,
    second: &str,
    sql: &str,
    of: &str,
) -> usize {
    let columns: String = (1..=ROLES.split(", ").count())
        .map(|n| format!(",\n       {}", of.replace("{n}", &n.to_string())))
        .collect();
    let rows = admin.rows(&sql.replace("{roles}", &columns));
    writeln!(page, "\n## {title}\n\n{said}\n").unwrap();
    writeln!(
        page,
        "| name | {second} | user | reviewer | admin | worker | monitor | PUBLIC |\n|---|---|---|---|---|---|---|---|"
    )
    .unwrap();
    for row in &rows {
        let cells: Vec<String> = row.iter().skip(1).cloned().collect();
        writeln!(page, "| `{}` | {} |", row[0], cells.join(" | ")).unwrap();
    }
    rows.len()
}

#[test]
fn the_page_of_privileges_is_what_the_catalogs_say() {
    let cluster = Cluster::start(Options { preload: false, ..Options::default() });
    let mut admin = cluster.admin("postgres");
    admin.run("CREATE EXTENSION image_gen");
    admin.run(&format!(
        "CREATE TEMP TABLE role AS SELECT n, coalesce(r.oid, 0::oid) AS oid
           FROM unnest(string_to_array('{ROLES}', ', ')) WITH ORDINALITY AS u(name, n) LEFT JOIN pg_roles r ON r.rolname = u.name"
    ));
    // Rights are granted to these roles and to nobody else.
    let strangers = admin.column(
        "SELECT DISTINCT a.grantee::regrole::text
           FROM (SELECT relacl AS acl, relowner AS owner FROM pg_class WHERE relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)
                 UNION ALL SELECT proacl, proowner FROM pg_proc WHERE pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)
                 UNION ALL SELECT attacl, relowner FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)
                 UNION ALL SELECT nspacl, nspowner FROM pg_namespace WHERE nspname IN ('image_gen', 'image_gen_internal')
                 UNION ALL SELECT typacl, typowner FROM pg_type WHERE typnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)) o,
                aclexplode(o.acl) a WHERE a.grantee <> o.owner AND a.grantee NOT IN (SELECT oid FROM role)",
    );
    assert!(strangers.is_empty(), "{strangers:?}");
    let grantable = admin.column(
        "SELECT p.proname FROM pg_proc p, aclexplode(p.proacl) a WHERE a.is_grantable AND a.grantee <> p.proowner AND p.pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)
         UNION ALL SELECT c.relname FROM pg_class c, aclexplode(c.relacl) a WHERE a.is_grantable AND a.grantee <> c.relowner AND c.relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)",
    );
    assert!(grantable.is_empty(), "rights that can be passed on: {grantable:?}");

    let mut page = String::from(
        "# Privileges\n\nGenerated from the catalogs by the test `privileges`, which fails when a right is added or taken away until this page is renewed:\n\
         `UPDATE_EXPECT=1 cargo test -p image_gen_tests --test privileges`. user is `image_gen_user`, reviewer `image_gen_reviewer`, admin `image_gen_admin`, worker\n\
         `image_gen_worker`, monitor PostgreSQL's own `pg_monitor`; no right can be passed on. What the roles are for is in [roles.md](roles.md), what they see of a table with row-level security is in `sql/grants.sql`.\n",
    );
    let tables = "r is SELECT, a INSERT, w UPDATE, d DELETE, D TRUNCATE, t TRIGGER, x REFERENCES, U USAGE; with the column where it is not the whole table. *rows*: row-level security.";
    let functions = "X is EXECUTE. *definer*: SECURITY DEFINER, it runs with the rights of the extension's owner, and asks itself who called it; its search_path is pinned.";
    assert!(
        table(&mut page, &mut admin, "Tables, views and sequences", tables, "kind", TABLES, OF_TABLES) > 60
    );
    assert!(table(&mut page, &mut admin, "Functions", functions, "runs as", FUNCTIONS, OF_FUNCTIONS) > 200);
    assert!(table(&mut page, &mut admin, "Schemas and types", "", "", OTHERS, OF_OTHERS) > 10);
    let page = page.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/privileges.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differing: Vec<(&str, &str)> =
        page.lines().zip(written.lines()).filter(|(now, then)| now != then).take(5).collect();
    assert!(
        page == written,
        "docs/privileges.md is not what the catalogs say; renew it, and read the difference: {differing:#?}"
    );
}
