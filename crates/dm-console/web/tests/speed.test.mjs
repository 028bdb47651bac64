// How fast the console is there, and how smoothly long lists scroll. The figures are printed;
// a machine under load fails nothing.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open, World } from "./support.mjs";

const LINES = 100_000;
const PAGE = 5000;
const world = new World();
before(() => world.start());
after(() => world.stop());

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const sortedOf = (values) => [...values].sort((a, b) => a - b);

test("the first page is there at once", async (context) => {
  const [signIns, overviews] = [[], []];
  for (let round = 0; round < 5; round += 1) {
    const page = await world.page(world.alpha);
    const since = (begin) => Math.round(performance.now() - begin);
    let begin = performance.now();
    await page.goto(world.alpha.console);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    signIns.push(since(begin));
    await page.getByLabel("API key").fill(world.alpha.apiKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
    begin = performance.now();
    await page.reload();
    await page.locator(".parts li").first().waitFor();
    overviews.push(since(begin));
    assert.deepEqual(page.faults, []);
    await page.context().close();
  }
  context.diagnostic(`the first page, in a browser without a cache: ${at(sortedOf(signIns), 0.5)} ms (${signIns.join(", ")})`);
  context.diagnostic(`the overview with its figures: ${at(sortedOf(overviews), 0.5)} ms (${overviews.join(", ")})`);
});

const common = (number) => ({ data_hash: number.toString(16).padStart(64, "0"), name: `file ${number}`, media_type: "text/plain", size: number, labels: {}, correlation_id: null, supersedes: null, expires_at: null });
const LISTS = {
  shares: (number) => ({ ...common(number), recipient: world.beta.address, contact: "beta", state: "notified", status: "anchored", created_at: Date.now(), replicas: 3, replicas_wanted: 3 }),
  inbox: (number) => ({ ...common(number), from: world.beta.address, contact: "beta", state: "new", shared_at: Date.now(), received_at: Date.now(), anchored: true }),
};

for (const [name, line] of Object.entries(LISTS)) {
  test(`100,000 lines of ${name} scroll, and few of them are in the page`, async (context) => {
    const page = await world.signedIn(world.alpha);
    const title = name === "shares" ? "Shares" : "Inbox";
    await page.route(`**/api/${name}?*`, (route) => {
      const from = Number(new URL(route.request().url()).searchParams.get("cursor") ?? 0);
      const items = Array.from({ length: PAGE }, (_, index) => line(from + index));
      route.fulfill({ json: { [name === "shares" ? "shares" : "items"]: items, next_cursor: from + PAGE < LINES ? String(from + PAGE) : null } });
    });
    await open(page, name);
    const list = page.getByRole("region", { name: title });
    await page.getByText("file 0", { exact: true }).waitFor();
    for (let loaded = PAGE; loaded < LINES; loaded += PAGE) {
      await list.evaluate((element) => (element.scrollTop = element.scrollHeight));
      await page.getByText(`file ${loaded + 1}`, { exact: true }).waitFor();
    }
    await list.evaluate((element) => (element.scrollTop = element.scrollHeight));
    await page.getByText(`file ${LINES - 1}`, { exact: true }).waitFor();

    // A frame after the other, each some lines further, through all of them and back.
    const { frames, most, empty } = await list.evaluate(async (element) => {
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      const [frames, steps] = [[], 240];
      let [most, empty, before] = [0, 0, await frame()];
      for (let step = 0; step <= 2 * steps; step += 1) {
        element.scrollTop = (element.scrollHeight / steps) * Math.abs(steps - step);
        const now = await frame();
        frames.push(now - before);
        before = now;
        const lines = [...element.querySelectorAll("li")];
        most = Math.max(most, lines.length);
        const box = element.getBoundingClientRect();
        const middle = box.top + box.height / 2;
        if (!lines.some((line) => line.getBoundingClientRect().top <= middle && line.getBoundingClientRect().bottom >= middle - 8)) empty += 1;
      }
      return { frames, most, empty };
    });
    const sorted = sortedOf(frames);
    context.diagnostic(`${name}: ${LINES} lines, ${most} in the page; a frame took ${at(sorted, 0.5).toFixed(1)} ms, 95 of 100 at most ${at(sorted, 0.95).toFixed(1)} ms; ${empty} of ${frames.length} came before their lines`);
    assert.ok(most < 60, `${most} lines are in the page`);
    assert.deepEqual(page.faults, []);
  });
}
