// Receipts are checked in the browser, which trusts no node.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { open, World } from "./support.mjs";

const world = new World();
let receipt;
before(async () => {
  await world.start();
  let hash;
  for (let number = 0; number < 5; number += 1) hash = await world.alpha.share("beta", `evidence ${number}`);
  receipt = await world.alpha.ask("GET", `/receipts/${hash}`);
});
after(() => world.stop());

test("the console fetches a receipt and checks it against the chain", async () => {
  const page = await world.signedIn(world.alpha);
  await open(page, "receipts");
  await page.getByLabel("Data hash").fill(receipt.event.data_hash);
  await page.getByRole("button", { name: "Get the receipt" }).click();
  const frame = page.frameLocator("iframe");
  await frame.getByText(/The event is at position 4 of a log of 5 events/).waitFor();
  await frame.getByRole("heading", { name: "Not checked to the end" }).waitFor();
  await frame.getByLabel("Address of the chain").fill(world.chain);
  await frame.getByRole("button", { name: "Check" }).click();
  await frame.getByRole("heading", { name: "The receipt is valid" }).waitFor();
  const outside = page.faults.filter((fault) => !fault.includes(new URL(world.chain).host));
  assert.deepEqual(outside, []);
});

test("saved as one file the checker works without any node", async () => {
  const saved = join(world.folder, "checker.html");
  const text = await (await fetch(`${world.alpha.console}/receipt.html`)).text();
  await writeFile(saved, text);
  await Promise.all([world.alpha.kill(), world.beta.kill()]);
  const page = await world.page({ console: world.chain });
  await page.goto(`file://${saved}`);
  const check = async (document, url) => {
    await page.getByLabel("Receipt (JSON)").fill(typeof document === "string" ? document : JSON.stringify(document));
    await page.getByLabel("Address of the chain").fill(url);
    await page.getByRole("button", { name: "Check" }).click();
    await page.waitForFunction(() => document.querySelector(".verdict") && !/Checking…/.test(document.querySelector(".verdict").textContent));
    return page.locator(".verdict").innerText();
  };
  assert.match(await check(receipt, world.chain), /The receipt is valid/);
  const changed = (path, value) => {
    const copy = structuredClone(receipt);
    const names = path.split(".");
    const last = names.pop();
    names.reduce((object, name) => object[name], copy)[last] = value;
    return copy;
  };
  const other = `0x${"11".repeat(32)}`;
  for (const [document, sentence] of [
    [changed("event.recipient", "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65"), /something was changed/],
    [changed("event.timestamp", receipt.event.timestamp + 1), /something was changed/],
    [changed("event.extra", "x"), /something was changed/],
    [changed("inclusion_proof", []), /something was changed/],
    [changed("checkpoint.root", other), /something was changed/],
    [changed("leaf_index", 3), /something was changed/],
    [changed("leaf_index", 5), /cannot stand in this checkpoint/],
    [changed("anchor.block", receipt.anchor.block + 1), /does not know this checkpoint/],
    [changed("anchor.chain_id", 1), /another chain/],
    [changed("version", 2), /version of receipts is not known/],
    ["{", /This is not a receipt/],
    ["[]", /This is not a receipt/],
  ]) {
    const said = await check(document, world.chain);
    assert.match(said, /The receipt is not valid/);
    assert.match(said, sentence);
  }
  assert.match(await check(receipt, "http://127.0.0.1:9/"), /gives no answer/);
});
