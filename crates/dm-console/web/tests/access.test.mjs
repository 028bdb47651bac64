// For everybody: every page in both themes, narrow, from right to left, in another language, and
// with the keyboard alone.
import assert from "node:assert/strict";
import { readFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { open, World } from "./support.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const world = new World();
/** Where pictures of the pages are put, if anywhere. */
const PICTURES = process.env.DM_PICTURES;
let paths;

before(async () => {
  await world.start();
  const sent = await world.alpha.share("beta", "a report", { name: "report.txt", labels: { year: "2026" } });
  const received = await world.beta.share("alpha", "an offer", { name: "offer.txt", labels: { kind: "offer" } });
  await world.alpha.ask("POST", "/subscriptions", { name: "archive", url: "https://archive.example.org/", topics: ["data.*"] }).catch(() => {});
  paths = ["overview", "share", "inbox", `inbox/${received}`, "shares", `shares/${sent}`, "receipts", "receipts/event/0", "money", "network",
    "admin/contacts", "admin/api_keys", "admin/sessions", "admin/users", "admin/subscriptions", "admin/plugins", "admin/keys", "admin/instances", "admin/settings"];
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
});
after(() => world.stop());

async function violations(page) {
  // Not as a script of the page, whose policy forbids it.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { iframes: false }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

async function show(page, path) {
  await page.evaluate((to) => (location.hash = `/${to}`), path);
  await page.locator("main h1:visible, main .detail h2:visible").first().waitFor();
  await page.waitForFunction(() => !document.querySelector("main .waiting"));
}

for (const theme of ["light", "dark"]) {
  test(`no page has a violation, ${theme}`, async () => {
    const page = await world.signedIn(world.alpha, { colorScheme: theme, reducedMotion: "reduce" });
    for (const path of paths) {
      await show(page, path);
      assert.deepEqual(await violations(page), [], path);
      if (PICTURES) await page.screenshot({ path: `${PICTURES}/${path.replace(/\/[0-9a-f]{64}/, "-one").replaceAll("/", "-")}-${theme}.png` });
    }
    const signedOut = await world.page(world.alpha, { colorScheme: theme });
    await signedOut.goto(world.alpha.console);
    await signedOut.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.deepEqual(await violations(signedOut), []);
    await signedOut.goto(`${world.alpha.console}/receipt.html#theme=${theme}`);
    await signedOut.getByRole("button", { name: "Check" }).waitFor();
    assert.deepEqual(await violations(signedOut), []);
    assert.deepEqual([...page.faults, ...signedOut.faults], []);
  });
}

for (const direction of ["ltr", "rtl"]) {
  test(`nothing is wider than 360 pixels, ${direction}`, async () => {
    const page = await world.signedIn(world.alpha, { viewport: { width: 360, height: 740 } });
    await page.evaluate((dir) => (document.documentElement.dir = dir), direction);
    for (const path of paths) {
      await show(page, path);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, path);
      if (PICTURES) await page.screenshot({ path: `${PICTURES}/${path.replace(/\/[0-9a-f]{64}/, "-one").replaceAll("/", "-")}-360-${direction}.png` });
    }
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Shares" }).click();
    await page.getByRole("heading", { name: "Shares", level: 1 }).waitFor();
  });
}

test("another language is chosen and kept", async () => {
  const page = await world.signedIn(world.alpha);
  await page.getByLabel("Language").selectOption("de");
  await page.getByRole("link", { name: "Eingang" }).click();
  await page.getByRole("heading", { name: "Eingang", level: 1 }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "de");
  await page.reload();
  await page.getByRole("heading", { name: "Eingang", level: 1 }).waitFor();
});

test("a theme is chosen and kept", async () => {
  const page = await world.signedIn(world.alpha, { colorScheme: "light" });
  await page.getByLabel("Appearance").selectOption("dark");
  await page.reload();
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
});

test("the keyboard alone signs in, moves about and answers questions", async () => {
  const page = await world.page(world.alpha);
  await page.goto(world.alpha.console);
  await page.getByLabel("API key").waitFor();
  const press = (key, times = 1) => Array.from({ length: times }).reduce((before) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  await press("Tab");
  await page.keyboard.type(world.alpha.apiKey);
  await press("Enter");
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  const reach = async (text) => {
    for (let step = 0; step < 60; step += 1) {
      if ((await focused()) === text) return;
      await press("Tab");
    }
    assert.fail(`the keyboard does not reach ${text}`);
  };
  await page.evaluate(() => document.activeElement.blur());
  await reach("Administration");
  await press("Enter");
  await page.getByRole("heading", { name: "Administration", level: 1 }).waitFor();
  assert.equal(await focused(), "Administration", "the new page has the focus");
  await reach("Keys");
  await press("Enter");
  await page.getByRole("heading", { name: "Wrapping keys" }).waitFor();
  await reach("Make a new one");
  await press("Enter");
  await page.getByRole("dialog").waitFor();
  await press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal(await focused(), "Make a new one", "the focus is where it was");
});
