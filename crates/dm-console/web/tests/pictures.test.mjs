// The pictures of the documents, made of two nodes that have something to show. With
// `UPDATE_DOCUMENTS=1` they are written to docs/images.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, World } from "./support.mjs";

const MOST_BYTES = 150_000;
const isWritten = process.env.UPDATE_DOCUMENTS === "1";
const world = new World();
let folder;
let report;

before(async () => {
  folder = isWritten ? fileURLToPath(new URL("../../../../docs/images/", import.meta.url)) : await mkdtemp(join(tmpdir(), "dm-pictures-"));
  await mkdir(folder, { recursive: true });
  await world.start();
  const { alpha, beta } = world;
  await alpha.ask("PUT", "/contacts/globex", { address: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", trust: "ask" });
  for (const name of ["Price list 2027.csv", "Drawing 4711.svg", "Minutes of the meeting.txt"]) await alpha.share("beta", name, { name, labels: { kind: "manual" } });
  report = await alpha.share("beta", "Report of November", { name: "Report of November.txt", labels: { kind: "report", year: "2026" } });
  await beta.share("alpha", "Order 2026-118\n\n12 pumps, type B, 40 bar\nDelivery: week 51", { name: "Order 2026-118.txt", labels: { kind: "order" } });
  await beta.share("alpha", "An answer", { name: "Answer.txt" });
});
after(async () => {
  await world.stop();
  if (!isWritten) await rm(folder, { recursive: true, force: true });
});

async function picture(page, name) {
  // What is said of a moment passes.
  await page.locator(".notes .note").waitFor({ state: "hidden" }).catch(() => {});
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  const { size } = await stat(path);
  assert.ok(size < MOST_BYTES, `${name}.png has ${size} bytes`);
}

/** A point is added every five seconds. */
const FIVE_POINTS_MS = 60_000;
const hasFivePoints = (selector) => document.querySelector(selector)?.points.numberOfItems > 4;
const VIEW = { viewport: { width: 1140, height: 740 }, reducedMotion: "reduce" };

test("the pictures of the documents are those of the console", async () => {
  const alpha = await world.signedIn(world.alpha, VIEW);
  const beta = await world.signedIn(world.beta);
  await open(beta, "inbox");
  await beta.getByRole("link", { name: /Report of November/ }).click();
  await beta.getByRole("button", { name: "Show a preview" }).click();
  await beta.getByRole("button", { name: "Acknowledge" }).click();

  await open(alpha, `shares/${report}`);
  await alpha.locator(".done-step", { hasText: "Acknowledged" }).waitFor();
  await picture(alpha, "console-share");
  await open(alpha, "inbox");
  await alpha.getByRole("link", { name: /Order 2026-118/ }).click();
  await alpha.getByRole("button", { name: "Show a preview" }).click();
  await alpha.locator("pre").getByText("12 pumps").waitFor();
  await picture(alpha, "console-inbox");
  await open(alpha, "overview");
  await alpha.waitForFunction(hasFivePoints, ".tile polyline", { timeout: FIVE_POINTS_MS });
  await picture(alpha, "console-overview");
  const dark = await world.signedIn(world.alpha, { ...VIEW, viewport: { width: 1140, height: 960 }, colorScheme: "dark" });
  await open(dark, "network");
  await dark.waitForFunction(hasFivePoints, ".charts polyline", { timeout: FIVE_POINTS_MS });
  await picture(dark, "console-network");
  const narrow = await world.signedIn(world.alpha, { ...VIEW, viewport: { width: 390, height: 780 } });
  // The list has no room beside it.
  await narrow.evaluate((to) => (location.hash = to), `/shares/${report}`);
  await narrow.locator(".timeline").first().waitFor();
  await picture(narrow, "console-narrow");
  for (const page of [alpha, beta, dark, narrow]) assert.deepEqual(page.faults, []);
});
