// Sign-in with an account of the company, at a real identity provider.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { AUDIENCE, CLIENT, IdentityProvider } from "./identity_provider.mjs";
import { KEYS, Node, open } from "./support.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PICTURES = process.env.DM_PICTURES;
/** How long something is waited for that must happen. */
const PATIENCE_MS = 60_000;
const WITH_ACCOUNT = "Sign in with Example Ltd";
let folder, provider, node, browser;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "dm-sign-in-"));
  const port = await freePort();
  provider = await new IdentityProvider(`http://127.0.0.1:${port}`).start();
  const secret = join(folder, "client-secret");
  await writeFile(secret, `${CLIENT.client_secret}\n`);
  node = await new Node("alpha", folder, "devnet", KEYS[0], {
    ports: { "--dashboard-port": String(port) },
    env: {
      DM_SIGN_IN__ISSUER: provider.issuer,
      DM_SIGN_IN__PROVIDER_NAME: "Example Ltd",
      DM_SIGN_IN__CLIENT_ID: CLIENT.client_id,
      DM_SIGN_IN__CLIENT_SECRET_FILE: secret,
      DM_SIGN_IN__AUDIENCE: AUDIENCE,
      DM_SIGN_IN__ROLES: "operators=admin, clerks=share, clerks=read",
    },
  }).start();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  await node?.kill();
  await provider?.stop();
  await rm(folder, { recursive: true, force: true });
});

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** A page of a browser that nobody has used. */
async function page(options = {}) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  // The provider's own page wants its fonts from elsewhere.
  await page.route((url) => url.hostname !== "127.0.0.1", (route) => route.abort());
  page.faults = [];
  page.on("console", (message) => page.url().startsWith(node.console) && /Content.Security.Policy|TrustedHTML/i.test(message.text()) && page.faults.push(message.text()));
  return page;
}

/** Goes to the provider and signs in there under this name. */
async function signInAs(page, name, { at = "" } = {}) {
  await page.goto(`${node.console}/${at}`);
  await page.getByRole("button", { name: WITH_ACCOUNT }).click();
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  await page.locator("form[action$='/abort'], form button[type=submit]").first().waitFor();
  await page.locator("button[type=submit]").click();
}

async function overview(page) {
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  return page;
}

async function events(topic) {
  return (await node.ask("GET", `/events?topics=${topic}`)).events.map(({ data }) => data);
}

async function eventually(what, ask) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function withToken(token, path) {
  const base = path.startsWith("/api_keys") ? node.internal : node.external;
  return fetch(`${base}${path}`, { headers: { Authorization: `Bearer ${token}` } });
}

test("a person signs in with the company's account, acts under their name, and signs out everywhere", async () => {
  const tab = await page();
  await signInAs(tab, "ann", { at: "#/money" });
  await tab.getByRole("heading", { name: "Money", level: 1 }).waitFor();
  await tab.getByText("Signed in as ann").waitFor();
  await open(tab, "admin/sessions");
  await tab.getByRole("row", { name: /ann/ }).waitFor();
  if (PICTURES) await tab.screenshot({ path: `${PICTURES}/admin-sessions-account.png` });
  await open(tab, "admin/contacts");
  const form = tab.locator("form").filter({ has: tab.getByLabel("Address") }).first();
  await form.getByLabel("Name").fill("acme");
  await form.getByLabel("Address").fill("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
  await form.locator("button.primary").click();
  await tab.getByRole("row", { name: /acme/ }).waitFor();
  const act = await eventually("the act is kept", async () => (await events("person.acted"))[0]);
  assert.deepEqual({ ...act, request_id: "" }, { subject: "ann", name: "ann", method: "PUT", route: "/contacts/{name}", path: "/api/contacts/acme", status: 201, request_id: "" });

  await tab.getByRole("button", { name: "Sign out" }).click();
  await tab.waitForURL(`${provider.issuer}/**`);
  await tab.locator("button[value=yes]").click();
  await tab.waitForURL(`${node.console}/`);
  await tab.getByRole("button", { name: WITH_ACCOUNT }).click();
  await tab.locator("input[name=login]").waitFor();
  assert.deepEqual(tab.faults, []);
});

test("who has no role that opens anything, or says no, is told so", async () => {
  const nina = await page();
  await signInAs(nina, "nina");
  await nina.getByRole("alert").getByText("none of your roles opens anything").waitFor();
  const undecided = await page();
  await undecided.goto(node.console);
  await undecided.getByRole("button", { name: WITH_ACCOUNT }).click();
  await undecided.locator("a[href$='/abort']").click();
  await undecided.getByRole("alert").getByText("The sign-in was cancelled").waitFor();
  // Another language says the same, and the API key still opens the console.
  await undecided.getByLabel("Language").selectOption("de");
  await undecided.getByRole("alert").getByText("Die Anmeldung wurde abgebrochen").waitFor();
  await undecided.getByLabel("API-Schlüssel").fill(node.apiKey);
  await undecided.getByRole("button", { name: "Anmelden", exact: true }).click();
  await undecided.getByRole("heading", { name: "Übersicht", level: 1 }).waitFor();
});

test("a role opens its scopes and no more", async () => {
  const tab = await page();
  await signInAs(tab, "carl");
  await overview(tab);
  await open(tab, "admin/api_keys");
  await tab.getByText("Your key does not open this page").waitFor();
});

test("an operator ends the session of a person", async () => {
  const tab = await page();
  await signInAs(tab, "carl");
  await overview(tab);
  const response = await fetch(`${node.internal}/sessions`, { headers: { "X-API-Key": node.apiKey } });
  const { sessions } = await response.json();
  for (const { id, person } of sessions.filter(({ person }) => person?.subject === "carl")) {
    const ended = await fetch(`${node.internal}/sessions/${id}`, { method: "DELETE", headers: { "X-API-Key": node.apiKey } });
    assert.equal(ended.status, 200, person.name);
  }
  await tab.getByText("The session has ended").waitFor();
});

test("a callback that was used, or that another browser has begun, signs nobody in", async () => {
  const tab = await page();
  let callback;
  tab.on("request", (request) => request.url().includes("/api/sign-in/callback") && (callback = request.url()));
  await signInAs(tab, "ann");
  await overview(tab);
  const stranger = await page();
  await stranger.goto(callback);
  await stranger.getByRole("alert").getByText("This sign-in is too old, or was begun in another window").waitFor();
  assert.deepEqual(await stranger.context().cookies(), []);
  await tab.goto(callback);
  await overview(tab);
});

test("a program's token opens both APIs as its role says, and no other token does", async () => {
  const token = await provider.token();
  assert.equal((await withToken(token, "/shares")).status, 200);
  assert.equal((await withToken(token, "/api_keys")).status, 403);
  const [head, , signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const boss = text({ ...claims, roles: ["operators"] });
  for (const bad of [
    await provider.token("https://another.example.org"),
    `${head}.${boss}.${signature}`,
    `${text({ alg: "none", typ: "at+jwt" })}.${boss}.`,
    "a.b.c",
  ]) {
    const refused = await withToken(bad, "/shares");
    assert.equal(refused.status, 401, bad);
    assert.match(refused.headers.get("www-authenticate"), /^Bearer/);
  }
});

test("keys are rotated without a restart, and the retired one counts no more", async () => {
  const before = await provider.token();
  assert.equal((await withToken(before, "/shares")).status, 200);
  provider.rotate();
  const token = await provider.token();
  await eventually("the new key counts", async () => (await withToken(token, "/shares")).status === 200);
  assert.equal((await withToken(before, "/shares")).status, 401);
  await overview((await signedIn("ann")));
});

async function signedIn(name) {
  const tab = await page();
  await signInAs(tab, name);
  return overview(tab);
}

test("while the provider is away nobody is signed out, and who signs in is told", async () => {
  const tab = await signedIn("ann");
  await provider.stop();
  try {
    await open(tab, "admin/contacts");
    await tab.reload();
    await tab.getByText("Signed in as ann").waitFor();
    // What the node has learned of it leads there; it is the browser that finds nobody.
    const late = await page();
    await late.goto(`${node.console}/#/sign-in/unreachable`);
    await late.getByRole("alert").getByText("does not answer at the moment").waitFor();
  } finally {
    await provider.start();
  }
});

for (const [theme, viewport] of [["light", { width: 1280, height: 900 }], ["dark", { width: 360, height: 740 }]]) {
  test(`the sign-in page has no violation and fits, ${theme}`, async () => {
    const tab = await page({ colorScheme: theme, viewport, reducedMotion: "reduce" });
    await tab.goto(`${node.console}/#/sign-in/no-role`);
    await tab.getByRole("button", { name: WITH_ACCOUNT }).waitFor();
    await tab.evaluate(axe);
    const { violations } = await tab.evaluate(() => axe.run(document, { iframes: false }));
    assert.deepEqual(violations.map(({ id }) => id), []);
    assert.equal(await tab.evaluate(() => document.documentElement.scrollWidth), viewport.width);
    if (PICTURES) await tab.screenshot({ path: `${PICTURES}/sign-in-account-${theme}.png` });
  });
}
