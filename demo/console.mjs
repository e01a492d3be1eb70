// The console as a person uses it, in Chromium, at the width of a telephone and of a desk: log in, watch a launch finish, resolve a review in
// other words, pick a variant, see the budget move. Run by scripts/console:  node console.mjs CHROMIUM URL TOKEN OUT
// It prints `queue WIDTH` when the launch may be queued, and reads a line when that is done.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createInterface } from "node:readline/promises";
import puppeteer from "puppeteer-core";

const [chromium, url, token, out] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
const foreign = [];

for (const [name, width, height, dark] of [["phone", 390, 844, false], ["desk", 1280, 900, true]]) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  page.on("console", (said) => { if (said.type() === "error") foreign.push(`${name}: ${said.text()}`); });
  page.on("dialog", (dialog) => { foreign.push(`${name}: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!request.url().startsWith(url) && !request.url().startsWith("data:")) foreign.push(`${name}: ${request.url()}`); });

  // What a page must not have: what axe-core calls serious or worse, and a width that scrolls.
  const look = async (place) => {
    await page.screenshot({ path: `${out}/console-${name}-${place}.png`, fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name} ${place}: ${wide} pixels too wide`);
    // By the debugger: the page's own policy would not run it.
    await page.evaluate(await import("node:fs").then((fs) => fs.readFileSync(axe, "utf8")));
    const { violations } = await page.evaluate(() => axe.run());
    const serious = violations.filter((one) => ["serious", "critical"].includes(one.impact));
    assert.deepEqual(serious.map((one) => `${one.id}: ${one.nodes[0].html}`), [], `${name} ${place}`);
    console.log(`${name} ${place}: no serious violation, ${violations.length} others`);
  };
  // Waits for the page to change by itself until it has so many of each.
  const until = (wanted) =>
    page.evaluate(
      (wanted) =>
        new Promise((resolve, reject) => {
          const count = () => Object.fromEntries(Object.keys(wanted).map((one) => [one, document.querySelectorAll(`strong.${one}`).length]));
          const right = () => JSON.stringify(count()) === JSON.stringify(wanted);
          if (right()) return resolve();
          const late = setTimeout(() => reject(new Error(`${JSON.stringify(count())} instead of ${JSON.stringify(wanted)}: ${document.body.innerText}`)), 60_000);
          new MutationObserver((_, observer) => {
            if (right()) {
              clearTimeout(late);
              observer.disconnect();
              resolve();
            }
          }).observe(document.body, { childList: true, subtree: true });
        }),
      wanted,
    );
  const go = (path) => page.goto(url + path, { waitUntil: "load" });
  const press = (selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);

  await go("/");
  assert.ok(page.url().endsWith("/login"));
  await look("login");
  await page.type("input[name=token]", token);
  await press("main button");
  assert.equal(await page.$eval("h1", (h1) => h1.textContent), "Campaigns", await page.evaluate(() => document.body.innerText));
  // The page is open while the launch is queued and finishes: it changes by itself.
  console.log(`queue ${width}`);
  await lines.next();
  await go(`/campaign?name=launch-${width}`);
  await until({ succeeded: 3, needs_review: 1 });
  await look("campaign");
  assert.ok(await page.evaluate(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)), "images are shown");
  await go("/money");
  const before = await page.$eval("progress", (bar) => bar.value);
  await go("/reviews");
  await look("reviews");
  await page.$eval("textarea[name=prompt]", (box) => (box.value = "an apple on a plate"));
  await press("button[value=rewrite]");
  await go(`/campaign?name=launch-${width}`);
  await until({ succeeded: 4 });
  await go("/sets");
  await look("variants");
  await press("form[action^='/pick/'] button");
  assert.ok(await page.$("strong.final"), "one is final");
  await go("/money");
  const after = await page.$eval("progress", (bar) => bar.value);
  assert.ok(after > before, `the budget moves: ${before} ${after}`);
  await look("money");
  await go("/health");
  await look("health");
  await go("/");
  await look("campaigns");
  await page.click("header a[href='/reviews']");
  const link = await page.$("main h2 a[href^='/job/']") ;
  if (link) { await Promise.all([page.waitForNavigation(), link.click()]); await look("job"); }
  await context.close();
  // Without JavaScript it is whole.
  const plain = await browser.createBrowserContext();
  const quiet = await plain.newPage();
  await quiet.setJavaScriptEnabled(false);
  await quiet.goto(`${url}/login`);
  await quiet.type("input[name=token]", token);
  await Promise.all([quiet.waitForNavigation(), quiet.click("main button")]);
  assert.ok((await quiet.content()).includes(`launch-${width}`), "without JavaScript");
  await plain.close();
}
await browser.close();
assert.deepEqual(foreign, [], "nothing foreign was asked for, and no error was said");
console.log("done");
process.exit(0);
