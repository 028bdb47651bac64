// Two real nodes on one chain, and a browser.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const BINARY = process.env.DM_NODE;
if (!BINARY) throw new Error("DM_NODE must name the program dm-node");

/** Accounts that the embedded chain has funded, as anvil and hardhat have. */
export const KEYS = [
  "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];
/** How long a page may take to show something. */
const PATIENCE_MS = 15_000;
const FAST = {
  DM_EXTERNAL_API__RATE_LIMIT__PER_SECOND: "100000",
  DM_EXTERNAL_API__RATE_LIMIT__BURST: "100000",
  DM_INTERNAL_API__RATE_LIMIT__PER_SECOND: "100000",
  DM_INTERNAL_API__RATE_LIMIT__BURST: "100000",
  DM_DASHBOARD_API__RATE_LIMIT__PER_SECOND: "100000",
  DM_DASHBOARD_API__RATE_LIMIT__BURST: "100000",
  DM_NETWORK__RETRY_INTERVAL_SECS: "1",
  DM_COMPLIANCE__WATCH_INTERVAL_SECS: "1",
  DM_API_KEYS__MAX_WRONG: "100000",
  // A person acknowledges.
  DM_INBOX__ACKNOWLEDGE: "on_request",
};

class Program {
  constructor(args, env = {}) {
    this.args = args;
    this.env = env;
  }

  async start(isReady) {
    this.process = spawn(BINARY, this.args, { env: { PATH: process.env.PATH, HOME: process.env.HOME, ...this.env }, cwd: tmpdir() });
    let output = "";
    let errors = "";
    this.process.stderr.on("data", (data) => (errors += data));
    return new Promise((resolve, reject) => {
      this.process.stdout.on("data", (data) => {
        output += data;
        const ready = isReady(output);
        if (ready) resolve(ready);
      });
      this.process.on("exit", (code) => reject(new Error(`dm-node ended with ${code}: ${errors}`)));
    });
  }

  async kill(signal = "SIGKILL") {
    const { process } = this;
    const ended = new Promise((resolve) => process.once("exit", resolve));
    if (process.exitCode === null && process.signalCode === null) {
      process.kill(signal);
      await ended;
    }
  }
}

function document(output) {
  try {
    return JSON.parse(output);
  } catch {
    return null;
  }
}

export class Node {
  constructor(name, folder, chain, key, { peer, env = {}, ports = {} } = {}) {
    const more = peer ? ["--peer", peer] : [];
    const args = ["dev", "--json", "--data-dir", join(folder, name), "--node-id", name, "--blockchain-url", chain, ...more];
    this.ports = { "--p2p-port": "0", "--internal-port": "0", "--external-port": "0", "--dashboard-port": "0", ...ports };
    this.env = env;
    this.baseArgs = args;
    this.key = key;
  }

  async start() {
    this.program = new Program([...this.baseArgs, ...Object.entries(this.ports).flat()], { ...FAST, PRIVATE_KEY: this.key, ...this.env });
    this.started = await this.program.start(document);
    const { console, internal_api, external_api, p2p, api_key, address } = this.started;
    Object.assign(this, { console, internal: internal_api, external: external_api, apiKey: api_key, address });
    this.peer = p2p.find((place) => place.includes("/tcp/"));
    // It comes back under the same addresses.
    const port = (url) => new URL(url).port;
    this.ports = { "--p2p-port": /\/tcp\/(\d+)/.exec(this.peer)[1], "--internal-port": port(internal_api), "--external-port": port(external_api), "--dashboard-port": port(console) };
    return this;
  }

  kill() {
    return this.program.kill();
  }

  /** A request with the API key, past the console. */
  async ask(method, path, body, headers = {}) {
    const base = /^\/(contacts|tokens|api_keys|subscriptions)/.test(path) ? this.internal : this.external;
    const isJson = body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { "X-API-Key": this.apiKey, ...(isJson ? { "Content-Type": "application/json" } : {}), ...headers },
      body: isJson ? JSON.stringify(body) : body,
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** Shares bytes; their data hash. */
  async share(recipient, bytes, { name, type = "text/plain", labels } = {}) {
    const headers = { "Content-Type": type };
    if (name) headers["Content-Disposition"] = `attachment; filename*=UTF-8''${encodeURIComponent(name)}`;
    if (labels) headers["X-Labels"] = JSON.stringify(labels);
    return (await this.ask("PUT", `/objects?recipient=${recipient}`, bytes, headers)).data_hash;
  }
}

export class World {
  async start() {
    this.folder = await mkdtemp(join(tmpdir(), "dm-console-"));
    this.chainProgram = new Program(["devnet", "--port", "0", "--data-dir", join(this.folder, "chain")]);
    this.chain = await this.chainProgram.start((output) => /http:\/\/[\d.:]+/.exec(output)?.[0]);
    this.alpha = await new Node("alpha", this.folder, this.chain, KEYS[0]).start();
    this.beta = await new Node("beta", this.folder, this.chain, KEYS[1], { peer: this.alpha.peer }).start();
    await this.alpha.ask("PUT", "/contacts/beta", { address: this.beta.address, trust: "accept" });
    await this.beta.ask("PUT", "/contacts/alpha", { address: this.alpha.address, trust: "accept" });
    this.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    return this;
  }

  async stop() {
    await this.browser?.close();
    for (const program of [this.alpha?.program, this.beta?.program, this.chainProgram]) await program?.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A page of a browser of its own, which notes what must not happen. */
  async page(node, options = {}) {
    const context = await this.browser.newContext({ locale: "en-GB", viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.faults = [];
    page.on("dialog", (dialog) => {
      page.faults.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("pageerror", (error) => page.faults.push(`error: ${error.message}`));
    page.on("console", (message) => /Content.Security.Policy|TrustedHTML/i.test(message.text()) && page.faults.push(message.text()));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (/^(http|ws)s?:$/.test(url.protocol) && url.host !== new URL(node.console).host) page.faults.push(`request to ${url.host}`);
    });
    return page;
  }

  async signedIn(node, options) {
    const page = await this.page(node, options);
    await page.goto(node.console);
    await page.getByLabel("API key").fill(node.apiKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
    return page;
  }
}

export async function open(page, path) {
  await page.evaluate((to) => (location.hash = `/${to}`), path);
  await page.locator("main h1").waitFor();
}
