// A day of an editor in Directus, through its REST API: articles that are made, changed and made in bulk get their pictures, and one
// that cannot have a picture is saved all the same. Run by scripts/directus, which starts the server, the simulator and the CMS.
import pg from "pg";

const base = `http://127.0.0.1:${process.env.PORT}`;
let token;

async function call(method, path, body) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (method !== "GET") console.log(`${method} ${path} ${body ? JSON.stringify(body).slice(0, 90) : ""} -> ${answer.status}`);
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
  return text ? JSON.parse(text).data : null;
}

async function until(what, holds) {
  for (const end = Date.now() + 120_000; Date.now() < end; await new Promise((again) => setTimeout(again, 200))) {
    const found = await holds();
    if (found) return found;
  }
  throw new Error(`${what}: not within two minutes`);
}

function same(what, found, expected) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  console.log(`   ${what}: ${JSON.stringify(found)}`);
}

const connection = { host: "127.0.0.1", port: process.env.DB_PORT, database: process.env.DB_DATABASE };
const owner = new pg.Client({ ...connection, user: process.env.DB_USER });
const admin = new pg.Client({ ...connection, user: "postgres" });
await Promise.all([owner.connect(), admin.connect()]);
const ask = async (client, sql) => (await client.query({ text: sql, rowMode: "array" })).rows;

await until("Directus answers", () => fetch(`${base}/server/ping`).then((answer) => answer.ok, () => false));
token = (await call("POST", "/auth/login", { email: process.env.ADMIN_EMAIL, password: process.env.ADMIN_PASSWORD })).access_token;
await call("POST", "/collections", {
  collection: "articles",
  schema: {},
  fields: [
    { field: "id", type: "integer", schema: { is_primary_key: true, has_auto_increment: true } },
    ...["title", "body", "image_url"].map((field) => ({ field, type: "text", schema: {} })),
    { field: "image_id", type: "bigInteger", schema: {} },
  ],
});
await owner.query(`SELECT image_gen.attach('articles', template => 'editorial illustration for {title}', into_column => 'image_url', asset_column => 'image_id',
                                           arguments => '{"model": "bfl:flux-1.1-pro", "width": 512, "height": 512}')`);

const items = () => call("GET", "/items/articles?sort=id&fields=id,title,image_url");
const pictured = (ids) =>
  until(`articles ${ids} have their pictures`, async () => {
    const all = (await items()).filter((item) => ids.includes(item.id));
    return all.length === ids.length && all.every((item) => item.image_url) && all;
  });

// Made, and made in bulk.
const one = await call("POST", "/items/articles", { title: "The first snow of the year" });
same("saved at once, without its picture", one.image_url, null);
const many = await call("POST", "/items/articles", ["foxes", "owls", "hares", "otters", "cranes"].map((title) => ({ title, body: "..." })));
const ids = [one, ...many].map((item) => item.id);
const first = await pictured(ids);

// Changed: what is not in the prompt asks for nothing, what is asks for a new picture.
await call("PATCH", `/items/articles/${ids[1]}`, { body: "a longer text" });
await call("PATCH", "/items/articles", { keys: ids.slice(2, 4), data: { title: "owls and hares" } });
await until("both have new pictures", async () => {
  const now = await items();
  return [2, 3].every((at) => now[at].image_url && now[at].image_url !== first[at].image_url);
});

// What cannot have a picture is saved all the same, and says why.
const untitled = await call("POST", "/items/articles", { body: "no title yet" });
await admin.query("SELECT image_gen.set_budget('role', 'cms', (SELECT sum(known_cost) FROM image_gen.jobs))");
const poor = await call("POST", "/items/articles", { title: "no money left" });
const refused = "SELECT key #>> '{0}', error_code FROM image_gen.attachment_rows WHERE state = 'refused' ORDER BY 1";
same("refused", await ask(owner, refused), [
  [`${untitled.id}`, "invalid_request"],
  [`${poor.id}`, "budget_exceeded"],
]);
same("both are there", (await items()).slice(-2).map((item) => item.title), [null, "no money left"]);
await call("PATCH", `/items/articles/${poor.id}`, { body: "still saved" });
await admin.query("SELECT image_gen.set_budget('role', 'cms', 100)");
await call("PATCH", `/items/articles/${untitled.id}`, { title: "a title at last" });
await owner.query("SELECT image_gen.backfill((SELECT id FROM image_gen.attachments))");
await pictured([untitled.id, poor.id]);

// Two sets of books.
const ledger = await (await fetch(process.env.LEDGER)).json();
const [[jobs, cost]] = await ask(admin, "SELECT count(*)::integer, trim_scale(sum(billed_cost))::text FROM image_gen.jobs WHERE status = 'succeeded'");
same("pictures and what they cost, here and at the provider", [jobs, cost], [ledger.accepted, `${ledger.billed}`]);
same("six articles, two of them twice, two that waited", jobs, 10);
same("refused rows", await ask(owner, refused), []);

// A field and a collection can be dropped: what the attachment needs goes along.
await call("DELETE", "/fields/articles/title");
same("the attachment", (await ask(owner, "SELECT state FROM image_gen.attachments"))[0], ["broken"]);
await call("POST", "/items/articles", { body: "saved without a title" });
await Promise.all([owner.end(), admin.end()]);
