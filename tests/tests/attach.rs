//! Attached tables: rows ask for their images themselves, are saved whatever comes of that, and get their images back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write as _;

use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, wait_until};

/// A stage with a CMS: its role owns a table of articles.
fn with_articles(lines: &[&str]) -> (Stage, Session, Session) {
    let stage = Stage::with(Options::conf(&[&["image_gen.rescan_interval = '200ms'"], lines].concat()));
    let mut admin = stage.admin();
    admin.run(
        "CREATE ROLE cms LOGIN; GRANT image_gen_user TO cms; CREATE ROLE editor LOGIN;
         CREATE SCHEMA cms AUTHORIZATION cms; GRANT USAGE ON SCHEMA cms TO PUBLIC; SET ROLE cms;
         CREATE TABLE cms.articles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text, body text, image_url text, image_id bigint);
         GRANT SELECT, INSERT, UPDATE ON cms.articles TO editor; RESET ROLE",
    );
    let cms = stage.connect("cms");
    (stage, admin, cms)
}

const ATTACH: &str = "SELECT image_gen.attach('cms.articles', template => 'editorial illustration for {title}', into_column => 'image_url', asset_column => 'image_id')";

/// Waits until so many rows have their image.
fn written(session: &mut Session, n: i64) {
    wait_until("images are written back", secs(60), || {
        session.number("SELECT count(*) FROM cms.articles a JOIN image_gen.campaign_assets s ON s.id = a.image_id AND s.url = a.image_url") == n
    });
}

fn states(session: &mut Session) -> Vec<Vec<String>> {
    session.rows("SELECT key, state, error_code FROM image_gen.attachment_rows ORDER BY key")
}

#[test]
fn a_row_gets_its_picture_and_what_does_not_change_the_prompt_costs_nothing() {
    let (stage, mut admin, mut cms) = with_articles(&[]);
    cms.run(ATTACH);
    // Whoever writes the row: the image is the table's owner's.
    let mut editor = stage.connect("editor");
    editor.run("INSERT INTO cms.articles (title) VALUES ('foxes'), ('owls')");
    written(&mut cms, 2);
    assert_eq!(admin.rows("SELECT DISTINCT owner::text, login::text FROM image_gen.jobs"), [["cms", "cms"]]);
    assert_eq!(
        admin.column("SELECT prompt FROM image_gen.jobs ORDER BY seq"),
        ["editorial illustration for foxes", "editorial illustration for owls"]
    );
    editor.run("UPDATE cms.articles SET body = 'longer'; UPDATE cms.articles SET title = title");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 2);
    editor.run("UPDATE cms.articles SET title = 'red foxes' WHERE title = 'foxes'");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 3);
    wait_until("the new image is written", secs(30), || {
        cms.truth(
            "SELECT s.prompt LIKE '%red foxes' FROM cms.articles a JOIN image_gen.campaign_assets s ON s.url = a.image_url WHERE a.title = 'red foxes'",
        )
    });
    wait_until("all is written down", secs(20), || {
        states(&mut cms) == [["[1]", "written", ""], ["[2]", "written", ""]]
    });
    // Undone is undone.
    editor.run("BEGIN; INSERT INTO cms.articles (title) VALUES ('ghosts'); SAVEPOINT s; INSERT INTO cms.articles (title) VALUES ('more ghosts'); ROLLBACK");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 3);
    assert_eq!(stage.sim.submits(), 3);
    stage.check_money();
}

#[test]
fn a_row_that_cannot_be_queued_is_saved_and_says_why() {
    let (stage, mut admin, mut cms) = with_articles(&[]);
    let id = cms.number(ATTACH);
    cms.run("INSERT INTO cms.articles (title) VALUES ('foxes'), (NULL), ('  '), ('owls')");
    assert_eq!(cms.number("SELECT count(*) FROM cms.articles"), 4);
    written(&mut cms, 2);
    assert_eq!(
        cms.rows(
            "SELECT key, error_message FROM image_gen.attachment_rows WHERE state = 'refused' ORDER BY key"
        ),
        [
            ["[2]", "the prompt of this row is NULL or blank"],
            ["[3]", "the prompt of this row is NULL or blank"]
        ]
    );
    // A budget for two more: the first two get their images, the others are saved.
    admin.run("SELECT image_gen.set_budget('role', 'cms', 0.17)");
    cms.run("INSERT INTO cms.articles (title) SELECT 'article ' || n FROM generate_series(1, 40) n");
    let refused = "SELECT count(*) FROM image_gen.attachment_rows WHERE error_code = 'budget_exceeded'";
    assert_eq!(cms.number(refused), 38);
    written(&mut cms, 4);
    // With money the rest follows, as far as it goes.
    admin.run("SELECT image_gen.set_budget('role', 'cms', 100)");
    let backfill =
        format!("SELECT queued, refused, estimated_cost FROM image_gen.backfill({id}, max_cost => 0.21)");
    assert_eq!(cms.rows(&backfill), [["5", "0", "0.2"]]);
    assert_eq!(cms.number(refused), 33);
    assert_eq!(cms.rows(&format!("SELECT queued FROM image_gen.backfill({id}, 1000)")), [["33"]]);
    written(&mut cms, 42);
    stage.check_money();
}

#[test]
fn copy_of_ten_thousand_rows_is_ten_thousand_jobs() {
    let (_stage, mut admin, mut cms) = with_articles(&["image_gen.max_in_flight = 1"]);
    cms.run("SELECT image_gen.attach('cms.articles', prompt => $$'an image of ' || title$$, into_column => 'image_url', arguments => '{\"model\": \"preview\"}')");
    let calls = "SELECT calls FROM pg_stat_user_functions WHERE funcname = 'note_attached'";
    admin.run("SET track_functions = 'all'");
    let mut copy = admin.copy_in("COPY cms.articles (title) FROM STDIN").unwrap();
    (0..10_000).for_each(|n| writeln!(copy, "article {n}").unwrap());
    copy.finish().unwrap();
    admin.run("SELECT pg_stat_force_next_flush()");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 10_000);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.attachment_rows"), 10_000);
    // Set by set, not row by row.
    assert_eq!(admin.number(calls), 10);
}

/// Attaches a table of two rows of each shape; all get their images.
#[test]
fn keys_of_any_type_partitions_and_conflicts_find_their_row() {
    let (_stage, mut admin, mut cms) = with_articles(&[]);
    cms.run(
        "CREATE TABLE cms.pages (slug text, lang varchar(2), at timestamptz DEFAULT now(), title text, full_title text GENERATED ALWAYS AS (slug || ': ' || title) STORED, url text,
                                 PRIMARY KEY (slug, lang));
         CREATE TABLE cms.events (day date, id uuid DEFAULT gen_random_uuid(), price numeric, title text, url varchar(500), PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
         CREATE TABLE cms.events_2026 PARTITION OF cms.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         CREATE TABLE cms.\"Odd Name\" (\"The Key\" bytea UNIQUE NOT NULL, \"A \"\"title\"\"\" json, \"URL\" text)",
    );
    cms.run(
        "SELECT image_gen.attach('cms.pages', prompt => 'full_title', into_column => 'url', arguments => '{\"model\": \"preview\"}');
         SELECT image_gen.attach('cms.events', template => '{title} for {price} {{', into_column => 'url', arguments => '{\"model\": \"preview\"}');
         SELECT image_gen.attach('cms.\"Odd Name\"', template => 'odd {A \"title\"}', into_column => 'URL', key_columns => '{The Key}', arguments => '{\"model\": \"preview\"}')",
    );
    cms.run("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET bytea_output = 'escape'");
    cms.run(
        "INSERT INTO cms.pages (slug, lang, title) VALUES ('a', 'en', 'A'), ('a', 'de', 'B');
         INSERT INTO cms.pages (slug, lang, title) VALUES ('a', 'de', 'C'), ('b', 'de', 'D') ON CONFLICT (slug, lang) DO UPDATE SET title = excluded.title;
         INSERT INTO cms.events (day, title, price) VALUES ('02.01.2026', 'one', 1.50);
         INSERT INTO cms.events_2026 (day, title, price) VALUES ('2026-02-02', 'two', 2);
         CREATE TABLE cms.events_2027 PARTITION OF cms.events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
         INSERT INTO cms.events (day, title, price) VALUES ('2027-01-01', 'three', 3);
         INSERT INTO cms.\"Odd Name\" VALUES ('\\xdeadbeef', '{\"a\": 1}')",
    );
    wait_until("all are written", secs(60), || {
        cms.number(
            "SELECT (SELECT count(*) FROM cms.pages WHERE url IS NOT NULL) + (SELECT count(*) FROM cms.events WHERE url IS NOT NULL)
                  + (SELECT count(*) FROM cms.\"Odd Name\" WHERE \"URL\" IS NOT NULL)",
        ) == 7
    });
    assert_eq!(
        admin.column("SELECT DISTINCT j.prompt FROM image_gen.attachment_entries e JOIN image_gen.jobs j ON j.id = e.job_id ORDER BY 1"),
        ["a: A", "a: C", "b: D", "odd {\"a\": 1}", "one for 1.50 {", "three for 3 {", "two for 2 {"]
    );
    // Moved to another partition, and changed: by a new image in its new place.
    cms.run("UPDATE cms.events SET day = '2027-05-05', title = 'moved' WHERE title = 'one'");
    wait_until("the moved row has an image of its own", secs(30), || {
        cms.truth(
            "SELECT EXISTS (SELECT FROM cms.events e JOIN image_gen.campaign_assets a ON a.url = e.url WHERE e.title = 'moved' AND a.prompt LIKE 'moved%')",
        )
    });
    // A number that is equal and written otherwise is another prompt; json has no equality at all.
    let jobs = admin.number("SELECT count(*) FROM image_gen.jobs");
    cms.run("UPDATE cms.events SET price = 2.0 WHERE title = 'two'; UPDATE cms.\"Odd Name\" SET \"A \"\"title\"\"\" = '{\"a\": 1}'");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs") - jobs, 1);
}

#[test]
fn a_reviewer_decides_before_a_picture_is_written() {
    let (stage, mut admin, mut cms) = with_articles(&[]);
    admin.run("GRANT image_gen_reviewer TO bob");
    let mut bob = stage.connect("bob");
    cms.run(&ATTACH.replace("asset_column", "approve => true, asset_column"));
    cms.run("INSERT INTO cms.articles (title) VALUES ('foxes'), ('owls')");
    wait_until("both wait for a person", secs(30), || {
        bob.number("SELECT count(*) FROM image_gen.review_queue WHERE why = 'approval'") == 2
    });
    assert_eq!(states(&mut cms), [["[1]", "awaits_approval", ""], ["[2]", "awaits_approval", ""]]);
    assert_eq!(cms.number("SELECT count(image_url) FROM cms.articles"), 0);
    let ids = bob.column("SELECT id FROM image_gen.claim_review(5) ORDER BY waiting_since, id");
    assert_eq!(ids.len(), 2);
    assert_eq!(
        stage.alice().sqlstate(&format!("SELECT image_gen.resolve_review('{}', 'approve')", ids[0])),
        "42704"
    );
    assert_eq!(
        bob.sqlstate(&format!("SELECT image_gen.resolve_review('{}', 'rewrite', prompt => 'x')", ids[0])),
        "22023"
    );
    let of = |session: &mut Session, key: &str| {
        session.text(&format!("SELECT job_id FROM image_gen.attachment_rows WHERE key = '{key}'"))
    };
    let (first, second) = (of(&mut cms, "[1]"), of(&mut cms, "[2]"));
    bob.run(&format!("SELECT image_gen.resolve_review('{first}', 'approve'); SELECT image_gen.resolve_review('{second}', 'reject', note => 'too many owls')"));
    written(&mut cms, 1);
    wait_until("all is written down", secs(20), || {
        states(&mut cms) == [["[1]", "written", ""], ["[2]", "rejected", "rejected"]]
    });
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.review_queue"), 0);
    assert_eq!(admin.column("SELECT action FROM image_gen.reviews ORDER BY job_id"), ["approve", "reject"]);
}

#[test]
fn what_is_renamed_is_followed_and_what_is_dropped_is_said() {
    let (_stage, mut admin, mut cms) = with_articles(&[]);
    cms.run(ATTACH);
    cms.run(
        "ALTER TABLE cms.articles RENAME COLUMN title TO headline; ALTER TABLE cms.articles RENAME COLUMN image_url TO image;
         ALTER TABLE cms.articles RENAME COLUMN id TO number; ALTER TABLE cms.articles RENAME TO stories",
    );
    admin.run("ALTER SCHEMA cms RENAME TO site");
    cms.run("INSERT INTO site.stories (headline) VALUES ('foxes')");
    wait_until("it is written", secs(30), || cms.number("SELECT count(image) FROM site.stories") == 1);
    assert_eq!(
        cms.rows("SELECT relation, state, problem FROM image_gen.attachments"),
        [["site.stories", "active", ""]]
    );
    // What the attachment needs goes with its column; rows are saved all the same.
    cms.run("ALTER TABLE site.stories DROP COLUMN headline");
    cms.run(
        "INSERT INTO site.stories (body) VALUES ('no headline'); UPDATE site.stories SET body = 'changed'",
    );
    assert_eq!(cms.number("SELECT count(*) FROM site.stories WHERE body = 'changed'"), 2);
    let state = "SELECT state, problem FROM image_gen.attachments";
    let said = cms.rows(state);
    assert!(said[0][0] == "broken" && said[0][1].contains("its functions (prompt) are gone"), "{said:?}");
    assert_eq!(cms.sqlstate("SELECT image_gen.backfill(id) FROM image_gen.attachments"), "55000");
    // What was written down is still there, and a new attachment goes on.
    assert_eq!(cms.number("SELECT count(*) FROM image_gen.attachment_rows WHERE state = 'written'"), 1);
    cms.run("SELECT image_gen.detach(id) FROM image_gen.attachments");
    let id = cms.number("SELECT image_gen.attach('site.stories', prompt => $$'an image of ' || body$$, into_column => 'image')");
    assert_eq!(cms.rows(&format!("SELECT queued, refused FROM image_gen.backfill({id})")), [["1", "0"]]);
    wait_until("it is written", secs(30), || cms.number("SELECT count(image) FROM site.stories") == 2);
    cms.run("DROP TABLE site.stories");
    assert_eq!(cms.rows(state), [["broken", "table site.stories was dropped"]]);
    assert_eq!(admin.number("SELECT count(*) FROM pg_proc WHERE proname LIKE 'image\\_gen\\_%' AND pronamespace = 'site'::regnamespace AND proname NOT LIKE '%store%'"), 0);
    cms.run("SELECT image_gen.detach(id) FROM image_gen.attachments");
    assert_eq!(admin.number("SELECT count(*) FROM pg_proc WHERE pronamespace = 'site'::regnamespace"), 0);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.campaign_assets"), 2);
}

#[test]
fn nothing_runs_with_more_rights_than_the_owner_of_the_attachment_has() {
    let (stage, mut admin, mut cms) = with_articles(&["image_gen.callback_timeout = '300ms'"]);
    let worker = stage.worker();
    admin.run("CREATE TABLE public.secrets (who text); CREATE TABLE public.seen (who text, superuser text); GRANT INSERT ON public.seen TO PUBLIC");
    // The prompt of a superuser's row is made as the owner, who may not climb from there.
    cms.run(
        "CREATE FUNCTION cms.spy(title text) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
           INSERT INTO public.seen VALUES (current_user, current_setting('is_superuser'));
           IF title = 'climb' THEN SET ROLE postgres; ELSIF title = 'read' THEN PERFORM who FROM public.secrets; ELSIF title = 'temp' THEN CREATE TEMP TABLE t (x int);
           ELSIF title = 'queue' THEN DELETE FROM image_gen_internal.queue; END IF;
           RETURN 'a picture of ' || title;
         END $$;
         SELECT image_gen.attach('cms.articles', prompt => 'cms.spy(title)', into_column => 'image_url')",
    );
    admin.run("INSERT INTO cms.articles (title) VALUES ('fine'), ('climb'), ('read'), ('temp'), ('queue')");
    assert_eq!(admin.column("SELECT DISTINCT who FROM public.seen"), ["cms"]);
    assert_eq!(admin.text("SELECT current_user"), "postgres");
    assert_eq!(
        cms.column("SELECT key FROM image_gen.attachment_rows WHERE state = 'refused' AND error_message LIKE 'the prompt cannot be made: %' ORDER BY key"),
        ["[2]", "[3]", "[4]", "[5]"]
    );
    wait_until("the good one is written", secs(30), || {
        cms.number("SELECT count(image_url) FROM cms.articles") == 1
    });
    // A trigger on the table that fails, sleeps or meddles is its owner's, and in no other way.
    for (what, body, says) in [
        ("fails", "RAISE 'not today';", "not today"),
        ("sleeps", "PERFORM pg_sleep(600);", "canceling statement"),
        ("climbs", "SET ROLE postgres;", "cannot set parameter"),
        ("meddles", "UPDATE image_gen.jobs SET billed_cost = 0;", "permission denied"),
    ] {
        cms.run(&format!(
            "CREATE OR REPLACE FUNCTION cms.hostile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER hostile BEFORE UPDATE OF image_url ON cms.articles FOR EACH ROW EXECUTE FUNCTION cms.hostile();
             INSERT INTO cms.articles (title) VALUES ('{what}')"
        ));
        let seen = format!(
            "SELECT count(*) FROM image_gen.attachment_rows WHERE error_code = 'write_back' AND error_message LIKE '%{says}%'"
        );
        wait_until(what, secs(30), || cms.number(&seen) == 1);
        admin.run("DELETE FROM image_gen_internal.callback_queue");
    }
    assert_eq!(stage.worker(), worker);
    // Another's table, another's attachment, a superuser, and triggers that are made by hand spend no money of others.
    let mut alice = stage.alice();
    assert_eq!(alice.sqlstate(ATTACH), "42501");
    assert_eq!(
        cms.sqlstate(
            &ATTACH.replace("approve", "").replace("asset_column", "run_as => 'alice', asset_column")
        ),
        "42501"
    );
    assert_eq!(
        admin.sqlstate("SELECT image_gen.attach('public.secrets', prompt => 'who', into_column => 'who')"),
        "42501"
    );
    for call in ["detach(1)", "pause_attachment(1)", "backfill(1)"] {
        assert_eq!(alice.sqlstate(&format!("SELECT image_gen.{call}")), "42704", "{call}");
    }
    let jobs = admin.number("SELECT count(*) FROM image_gen.jobs");
    admin.run("GRANT CREATE ON SCHEMA public TO alice");
    alice.run(
        "CREATE TABLE public.bait (id bigint PRIMARY KEY, title text, body text, image_url text, image_id bigint);
         CREATE TRIGGER one AFTER INSERT ON public.bait FOR EACH ROW EXECUTE FUNCTION image_gen.attached_row('1');
         CREATE TRIGGER two AFTER INSERT ON public.bait FOR EACH STATEMENT EXECUTE FUNCTION image_gen.attached_statement('1');
         INSERT INTO public.bait VALUES (1, 'at your cost')",
    );
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), jobs);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.attachments"), 0);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.attachment_rows"), 0);
    // A superuser lends a plain role its table.
    admin.run(
        "CREATE TABLE public.posts (id bigint PRIMARY KEY, title text, url text); GRANT SELECT, UPDATE ON public.posts TO cms;
         SELECT image_gen.attach('public.posts', template => '{title}', into_column => 'url', run_as => 'cms');
         INSERT INTO public.posts VALUES (1, 'lent')",
    );
    wait_until("the lent table has its image", secs(30), || {
        admin.number("SELECT count(url) FROM public.posts") == 1
    });
    // Once its owner is a superuser, or may not queue, nothing runs.
    admin.run("ALTER ROLE cms SUPERUSER; INSERT INTO public.posts VALUES (2, 'too mighty'); ALTER ROLE cms NOSUPERUSER; REVOKE image_gen_user FROM cms; INSERT INTO public.posts VALUES (3, 'too weak')");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), jobs + 1);
}

#[test]
fn a_paused_attachment_waits_and_goes_on_where_it_was() {
    let (_stage, mut admin, mut cms) = with_articles(&[]);
    cms.run("INSERT INTO cms.articles (title, image_url) VALUES ('has one', 'https://cdn.example.com/1.png'), ('has none', NULL)");
    let id = cms.number(ATTACH);
    cms.run(&format!(
        "SELECT image_gen.pause_attachment({id}); INSERT INTO cms.articles (title) VALUES ('foxes')"
    ));
    assert_eq!(states(&mut cms), [["[3]", "waiting", ""]]);
    assert_eq!(cms.rows("SELECT state, waiting FROM image_gen.attachments"), [["paused", "1"]]);
    assert_eq!(cms.sqlstate(&format!("SELECT image_gen.backfill({id})")), "55000");
    cms.run(&format!("SELECT image_gen.pause_attachment({id}, false)"));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 0);
    assert_eq!(cms.rows(&format!("SELECT queued, refused FROM image_gen.backfill({id}, 1)")), [["1", "0"]]);
    assert_eq!(cms.rows(&format!("SELECT queued, refused FROM image_gen.backfill({id}, 100)")), [["1", "0"]]);
    assert_eq!(cms.rows(&format!("SELECT queued, refused FROM image_gen.backfill({id}, 100)")), [["0", "0"]]);
    written(&mut cms, 2);
    assert_eq!(
        cms.text("SELECT image_url FROM cms.articles WHERE title = 'has one'"),
        "https://cdn.example.com/1.png"
    );
}

/// Every built-in type that can be a key, and types of one's own; under settings that change how values are written.
#[test]
fn keys_of_every_type_find_their_row() {
    let (_stage, mut admin, mut cms) = with_articles(&[]);
    cms.run("CREATE TYPE cms.status AS ENUM ('new', 'Old one'); CREATE DOMAIN cms.slug AS text CHECK (VALUE <> ''); CREATE TYPE cms.pair AS (a int, b text)");
    let types = [
        ("smallint", "'-7'", "'7'"),
        ("integer", "'-7'", "'2147483647'"),
        ("numeric", "'1.50'", "'123456789012345678901234567890.5'"),
        ("numeric(6,2)", "'1.5'", "'-0.25'"),
        ("double precision", "'0.1'", "'1e300'"),
        ("real", "'0.1'", "'3.4e38'"),
        ("timestamptz", "'2026-03-29 02:30:00+00'", "'infinity'"),
        ("timestamp(3)", "'2026-03-29 02:30:00.125'", "'0044-03-15 12:00 BC'"),
        ("date", "'2026-03-04'", "'2026-04-03'"),
        ("time", "'23:59:59.5'", "'00:00'"),
        ("interval", "'1 year 2 days 03:04:05'", "'-1 day'"),
        ("boolean", "true", "false"),
        ("char(5)", "'ab'", "'a''\"{'"),
        ("varchar(9)", "'ab '", "'ÄÖ'"),
        ("text", "E'a\\n,\"}\\\\'", "''"),
        ("name", "'ab'", "'x'"),
        ("bytea", "'\\x00ff'", "'\\x'"),
        ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
        ("inet", "'10.0.0.1/8'", "'::1'"),
        ("macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"),
        ("money", "'12.50'", "'-1'"),
        ("bit(4)", "'1010'", "'0101'"),
        ("text[]", "'{a,\"b,c\",NULL}'", "'{}'"),
        ("jsonb", "'{\"a\": [1, null]}'", "'\"x\"'"),
        ("int4range", "'[1,5)'", "'empty'"),
        ("cms.status", "'new'", "'Old one'"),
        ("cms.slug", "'ab'", "'c d'"),
        ("cms.pair", "'(1,\"x y\")'", "'(2,)'"),
        ("oid", "'7'", "'4294967295'"),
    ];
    for (number, (of_type, ..)) in types.iter().enumerate() {
        cms.run(&format!(
            "CREATE TABLE cms.keyed_{number} (k {of_type} PRIMARY KEY, title text, url text);
             SELECT image_gen.attach('cms.keyed_{number}', template => '{{title}}', into_column => 'url', arguments => '{{\"model\": \"preview\"}}')"
        ));
    }
    cms.run("SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape'; SET extra_float_digits = -3; SET lc_monetary = 'C'");
    for (number, (_, one, two)) in types.iter().enumerate() {
        cms.run(&format!(
            "INSERT INTO cms.keyed_{number} VALUES ({one}, 'one of {number}'), ({two}, 'two of {number}')"
        ));
    }
    for (number, (of_type, ..)) in types.iter().enumerate() {
        // Each row has the image of its own prompt.
        let right = format!(
            "SELECT count(*) FROM cms.keyed_{number} k JOIN image_gen.campaign_assets a ON a.url = k.url AND a.prompt = k.title"
        );
        wait_until(&format!("a key of type {of_type}"), secs(60), || admin.number(&right) == 2);
    }
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 2 * types.len() as i64);
}

#[test]
fn row_security_of_the_table_holds_for_the_role_that_writes_back() {
    let (_stage, mut admin, mut cms) = with_articles(&[]);
    admin.run("CREATE ROLE images; GRANT image_gen_user TO images; GRANT images TO cms; GRANT USAGE, CREATE ON SCHEMA cms TO images");
    cms.run(
        "ALTER TABLE cms.articles ENABLE ROW LEVEL SECURITY; GRANT SELECT, UPDATE ON cms.articles TO images;
         CREATE POLICY published ON cms.articles TO images USING (body = 'published');
         CREATE POLICY editors ON cms.articles TO editor USING (true) WITH CHECK (true)",
    );
    cms.run(&ATTACH.replace("asset_column", "run_as => 'images', asset_column"));
    admin.run("SET ROLE editor; INSERT INTO cms.articles (title, body) VALUES ('seen', 'published'), ('hidden', 'draft'); RESET ROLE");
    wait_until("both have come to an end", secs(30), || {
        admin.number("SELECT count(*) FROM image_gen.attachment_rows WHERE state IN ('written', 'gone')") == 2
    });
    // Of the other one there is nothing to write to, and nothing else is touched.
    assert_eq!(states(&mut admin), [["[1]", "written", ""], ["[2]", "gone", ""]]);
    assert_eq!(admin.column("SELECT title FROM cms.articles WHERE image_url IS NOT NULL"), ["seen"]);
}

#[test]
fn an_attachment_survives_dump_and_restore() {
    let (stage, mut admin, mut cms) = with_articles(&[]);
    cms.run(
        "CREATE TABLE cms.events (day date, slug text, title text, url text, PRIMARY KEY (day, slug)) PARTITION BY RANGE (day);
         CREATE TABLE cms.events_2026 PARTITION OF cms.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         SELECT image_gen.attach('cms.events', prompt => 'upper(title)', into_column => 'url')",
    );
    cms.run(ATTACH);
    cms.run("INSERT INTO cms.articles (title) VALUES ('foxes'), (NULL); INSERT INTO cms.events VALUES ('2026-05-05', 'a', 'fair')");
    written(&mut cms, 1);
    wait_until("the event is written", secs(30), || cms.number("SELECT count(url) FROM cms.events") == 1);
    let shown = "SELECT id, relation, into_column, asset_column, key_columns, prompt, owner, state, problem, rows, written, refused FROM image_gen.attachments ORDER BY id";
    let before = cms.rows(shown);
    let dump = stage.cluster.dump(DATABASE, &[]);
    admin.run("CREATE DATABASE restored");
    stage.cluster.restore("restored", &dump);
    let (mut new, mut cms) = (stage.cluster.admin("restored"), stage.cluster.connect("cms", "restored"));
    // Restoring asks for nothing, and every attachment is what it was.
    assert_eq!(new.number("SELECT count(*) FROM image_gen.jobs"), 2);
    assert_eq!(cms.rows(shown), before);
    // A copy sends nothing until it is resumed: rows are saved and their jobs wait, which is said.
    let submits = stage.sim.submits();
    cms.run("INSERT INTO cms.articles (title) VALUES ('owls'); INSERT INTO cms.events VALUES ('2026-06-06', 'b', 'market')");
    wait_until("it is held", secs(20), || {
        new.text("SELECT fenced FROM image_gen.worker_status WHERE running").contains("dump")
    });
    assert_eq!(stage.sim.submits(), submits);
    new.run("SELECT image_gen.resume()");
    written(&mut cms, 2);
    wait_until("the event is written", secs(30), || cms.number("SELECT count(url) FROM cms.events") == 2);
    assert_eq!(new.column("SELECT prompt FROM image_gen.jobs ORDER BY seq DESC LIMIT 1"), ["MARKET"]);
    assert_eq!(stage.sim.submits(), submits + 2);
    cms.run("UPDATE cms.articles SET title = 'red foxes' WHERE title = 'foxes'");
    wait_until("the changed row has its new image", secs(30), || {
        cms.truth("SELECT s.prompt LIKE '%red foxes' FROM cms.articles a JOIN image_gen.campaign_assets s ON s.url = a.image_url WHERE a.title = 'red foxes'")
    });
    // What was made for a column still goes with it, and nothing stands in the way of who drops it.
    cms.run("ALTER TABLE cms.articles RENAME COLUMN title TO headline; INSERT INTO cms.articles (headline) VALUES ('hares')");
    written(&mut cms, 3);
    cms.run("ALTER TABLE cms.articles DROP COLUMN headline; DROP TABLE cms.events");
    assert_eq!(cms.column("SELECT state FROM image_gen.attachments ORDER BY id"), ["broken", "broken"]);
    cms.run("SELECT image_gen.detach(id) FROM image_gen.attachments");
    assert_eq!(new.number("SELECT count(*) FROM pg_proc WHERE pronamespace = 'cms'::regnamespace"), 0);
}
