// What a person does with the console, between two nodes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open, World } from "./support.mjs";

const world = new World();
before(() => world.start());
after(() => world.stop());

const file = (name, bytes, mimeType = "text/plain") => ({ name, mimeType, buffer: Buffer.from(bytes) });

async function share(page, files, recipients) {
  await open(page, "share");
  await page.locator("input[type=file]").setInputFiles(files);
  for (const recipient of recipients) await page.getByRole("button", { name: `Add: ${recipient}` }).click();
  await page.locator("form").getByRole("button", { name: "Share", exact: true }).click();
}

test("a wrong key is refused and the right one opens the console", async () => {
  const page = await world.page(world.alpha);
  await page.goto(world.alpha.console);
  await page.getByLabel("API key").fill("dm_1_2");
  await page.keyboard.press("Enter");
  await page.getByText("This key is not valid").waitFor();
  await page.getByLabel("API key").fill(world.alpha.apiKey);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite], ["dm_session", true, "Strict"]);
  await page.reload();
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.deepEqual(page.faults, []);
});

test("a file goes to another node, is read, acknowledged, and the owner sees it at once", async () => {
  const [alpha, beta] = [await world.signedIn(world.alpha), await world.signedIn(world.beta)];
  await open(beta, "inbox");
  await share(alpha, file("contract.txt", "The price is 12 euros."), ["beta"]);
  await alpha.locator(".outcomes").getByText(/Shared/).waitFor();

  await beta.getByRole("link", { name: /contract\.txt/ }).click();
  await beta.getByRole("button", { name: "Show a preview" }).click();
  await beta.locator("pre").getByText("The price is 12 euros.").waitFor();
  const download = beta.waitForEvent("download");
  await beta.getByRole("link", { name: "Download" }).click();
  assert.equal((await download).suggestedFilename(), "contract.txt");

  await alpha.getByRole("link", { name: "Follow the share" }).click();
  await alpha.locator(".timeline li", { hasText: "Recipient told" }).and(alpha.locator(".done-step")).waitFor();
  await beta.getByRole("button", { name: "Acknowledge" }).click();
  await beta.getByText("Acknowledged. The owner is told").waitFor();
  await alpha.locator(".done-step", { hasText: "Acknowledged" }).waitFor();
  await alpha.getByRole("link", { name: "Receipt of the delivery" }).waitFor();
  await open(alpha, "overview");
  await alpha.locator(".events").getByText("Acknowledged by beta").waitFor();
  assert.deepEqual([...alpha.faults, ...beta.faults], []);
});

test("an upload that breaks off goes on from where it was", async () => {
  const page = await world.signedIn(world.alpha);
  const sent = [];
  let broken = 0;
  await page.route("**/api/uploads/*", (route) => {
    const request = route.request();
    if (request.method() === "PATCH") {
      const offset = Number(request.headers()["upload-offset"]);
      if (offset > 0 && broken < 2) {
        broken += 1;
        return route.abort("connectionreset");
      }
      sent.push(offset);
    }
    return route.continue();
  });
  await share(page, file("large.bin", Buffer.alloc(9 << 20, 7), "application/octet-stream"), ["beta"]);
  await page.getByText(/are safe\. It goes on by itself/).waitFor();
  await page.locator(".outcomes").getByText(/Shared/).waitFor();
  assert.equal(broken, 2);
  assert.deepEqual(sent, [0, 4 << 20, 8 << 20], "no piece is sent twice");
});

test("a page that was away while the node was killed misses nothing", async () => {
  const page = await world.signedIn(world.beta);
  const before = await world.beta.share("alpha", "before the restart", { name: "before.txt" });
  const events = page.locator(".events");
  await events.getByText(before.slice(0, 6)).first().waitFor();
  await world.beta.kill();
  await page.getByText("Connecting…").first().waitFor();
  // It is away for longer than one attempt to connect again.
  for (let attempt = 0; attempt < 4; attempt += 1) await page.waitForEvent("websocket");
  await world.beta.start();
  const away = [];
  for (let number = 0; number < 30; number += 1) away.push(await world.beta.share("alpha", `while away ${number}`));
  await page.getByText("The session has ended.").waitFor();
  await page.getByLabel("API key").fill(world.beta.apiKey);
  await page.keyboard.press("Enter");
  for (const hash of [before, ...away]) await events.getByText(hash.slice(0, 6)).first().waitFor();
  await events.getByText("Node started").first().waitFor();
});

test("access is granted, withdrawn, and data erased with consent alone", async () => {
  const hash = await world.alpha.share("beta", "to be erased", { name: "secret.txt" });
  const page = await world.signedIn(world.alpha);
  await open(page, `shares/${hash}`);
  const grant = page.locator("section", { has: page.getByRole("heading", { name: "Share with somebody else, too" }) });
  await grant.getByLabel("Recipient").fill("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
  await page.getByRole("button", { name: "Grant access" }).click();
  await page.getByRole("heading", { name: /^To 0x3C44/ }).waitFor();
  await page.locator("section", { hasText: "To beta" }).getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog").getByText("cannot be taken back").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.locator("section", { hasText: "To beta" }).getByText("Withdrawn").first().waitFor();

  await page.getByRole("button", { name: "Erase" }).click();
  const erase = page.getByRole("dialog").getByRole("button", { name: "Erase" });
  assert.equal(await erase.isDisabled(), true);
  await page.getByLabel("I know that this cannot be taken back.").check();
  await erase.click();
  await page.getByText("Erased. The key is destroyed.").waitFor();
  await assert.rejects(world.alpha.ask("GET", `/data/${hash}`));
});

test("money is moved after a question, in tokens", async () => {
  const page = await world.signedIn(world.alpha);
  await open(page, "money");
  const form = page.locator("section", { has: page.getByRole("heading", { name: "Transfer", exact: true }) });
  await form.getByLabel("To", { exact: true }).fill("beta");
  await form.getByLabel("Amount", { exact: true }).fill("nothing");
  await form.getByRole("button", { name: "Transfer" }).click();
  await page.getByText("Give an amount such as 1.5").waitFor();
  await form.getByLabel("Amount", { exact: true }).fill("1.5");
  await form.getByRole("button", { name: "Transfer" }).click();
  await page.getByRole("dialog").getByText("1.5 ETH go to beta").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Transfer" }).click();
  const row = page.locator("tr", { hasText: "1.5 ETH" });
  await row.getByText("Completed").waitFor();
  assert.match(await row.innerText(), /beta/);
});

test("keys and contacts are administered, and a revoked key signs out", async () => {
  const page = await world.signedIn(world.alpha);
  await open(page, "admin/contacts");
  const form = page.locator("section", { has: page.getByRole("heading", { name: "Add a contact" }) });
  await form.getByLabel("Name").fill("globex");
  await form.getByLabel("Address").fill("0x12");
  await form.getByRole("button", { name: "Save" }).click();
  await form.getByText(/must be a valid Ethereum address/).waitFor();
  await form.getByLabel("Address").fill("0x90F79bf6EB2c4f870365E785982E1f101E93b906");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("row", { name: /globex/ }).waitFor();

  await open(page, "admin/api_keys");
  await page.getByLabel("Name").fill("clerk");
  await page.getByRole("button", { name: "Make the key" }).click();
  const key = await page.locator(".secret code").innerText();
  const clerk = await world.page(world.alpha);
  await clerk.goto(world.alpha.console);
  await clerk.getByLabel("API key").fill(key);
  await clerk.keyboard.press("Enter");
  await clerk.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  await open(clerk, "share");
  await clerk.getByText("Your key does not open this page").waitFor();

  await page.getByRole("row", { name: /clerk/ }).getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await clerk.getByRole("heading", { name: "Sign in" }).waitFor();
});

test("the network is shown with its peers", async () => {
  const page = await world.signedIn(world.alpha);
  await open(page, "network");
  await page.getByRole("img", { name: "1 peers, of which 1 are connected" }).waitFor();
  await page.getByRole("row", { name: /Healthy/ }).waitFor();
});

test("plots grow by themselves, and the node keeps the last day for them", async () => {
  const page = await world.signedIn(world.alpha);
  await open(page, "network");
  const plots = page.locator("section", { has: page.getByRole("heading", { name: "Over time" }) });
  await plots.getByRole("img", { name: /^Connected peers: now 1, at most 1/ }).waitFor();
  await plots.getByRole("img", { name: /^Health: now/ }).waitFor();
  const length = () => plots.locator(".plot").first().locator("polyline").evaluate((line) => line.points.numberOfItems);
  const before = await length();
  await page.waitForFunction((before) => document.querySelector(".charts polyline").points.numberOfItems > before, before);
  const noted = Date.now() - 3_600_000;
  await page.route("**/api/dashboard/trend", (route) => {
    const sample = (minute) => ({ at: noted + minute * 60_000, health: minute === 3 ? "unhealthy" : "healthy", peers: minute, sent: minute * 60_000, received: 0, objects: minute, own_bytes: 2048, foreign_bytes: 0 });
    route.fulfill({ json: { samples: [0, 1, 2, 3, 4, 5].map(sample) } });
  });
  await plots.getByLabel("Time shown").selectOption("Last day");
  await plots.getByRole("img", { name: "Connected peers: now 5, at most 5" }).waitFor();
  await plots.getByRole("img", { name: "Sent: now 1,000 B/s, at most 1,000 B/s" }).waitFor();
  await plots.getByRole("img", { name: "Health: now Healthy, at worst Unhealthy" }).waitFor();
  assert.deepEqual(page.faults, []);
});

test("copies are shown as pictures, and what waits for some by its name", async () => {
  await world.alpha.share("beta", "in a picture", { name: "pictured.txt" });
  const page = await world.signedIn(world.alpha);
  await open(page, "network");
  const copies = page.locator("section", { has: page.getByRole("heading", { name: "Copies" }) });
  await copies.getByRole("img", { name: /wait for some/ }).waitFor();
  await copies.getByRole("link", { name: "pictured.txt" }).click();
  await page.getByRole("heading", { name: "pictured.txt" }).waitFor();
});

test("instances and settings are shown, with the source of each and without secrets", async () => {
  const page = await world.signedIn(world.alpha);
  await open(page, "admin/instances");
  await page.getByRole("row", { name: /Leader/ }).waitFor();
  await open(page, "admin/settings");
  const row = (name) => page.getByRole("row", { name: new RegExp(`^${name} `) });
  await row("node_id").getByText("alpha").waitFor();
  assert.match(await row("node_id").innerText(), /Command line/);
  assert.match(await row("inbox.acknowledge").innerText(), /on_request[^]*Environment[^]*DM_INBOX__ACKNOWLEDGE/);
  assert.match(await row("private_key").innerText(), /\(removed\)[^]*PRIVATE_KEY/);
  assert.match(await row("chain.confirmations").innerText(), /Default/);
  await page.getByLabel("Find a setting").fill("dashboard_api.");
  await page.getByLabel("Only those that are given").check();
  await row("dashboard_api.port").waitFor();
  assert.equal(await row("node_id").count(), 0);
  const shown = await page.locator("main").innerText();
  assert.ok(!shown.includes(world.alpha.key) && !shown.includes(world.chain));
});

test("peers come and go before the eyes of a person", async () => {
  const page = await world.signedIn(world.alpha);
  const events = page.locator(".events");
  await world.beta.kill();
  await events.getByText("Peer left").first().waitFor();
  await world.beta.start();
  await events.getByText("Peer connected").first().waitFor();
  assert.deepEqual(page.faults, []);
});

test("a refund that is stuck is tried again, or ended", async () => {
  const refund = { id: "0x01", kind: "transfer", purpose: "refund", status: "failed", token: "0x0000000000000000000000000000000000000000", from: world.alpha.address, to: world.beta.address, amount: "1500000000000000000", tx_hash: null, reason: "the token is paused", attempts: 4, next_try: Date.now() / 1000 + 3600, timestamp: Date.now() / 1000 };
  const page = await world.signedIn(world.alpha);
  const asked = [];
  await page.route("**/api/transfers*", (route) => route.fulfill({ json: { transfers: [refund], next_cursor: null } }));
  await page.route("**/api/transfers/*/*", (route) => {
    asked.push([new URL(route.request().url()).pathname, route.request().headers()["x-csrf-token"]?.length]);
    route.fulfill({ json: refund });
  });
  await open(page, "money");
  const row = page.getByRole("row", { name: /the token is paused/ });
  await row.getByText("1.5 ETH").waitFor();
  assert.match(await row.innerText(), /beta/);
  await page.getByText("1 stuck").waitFor();
  await row.getByRole("button", { name: "Try again" }).click();
  await page.getByText("The refund is tried again.").waitFor();
  await row.getByRole("button", { name: "Settled otherwise" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Settled otherwise" }).click();
  await page.getByText("The refund has ended.").waitFor();
  assert.deepEqual(asked, [["/api/transfers/0x01/retry", 64], ["/api/transfers/0x01/end", 64]]);
});
