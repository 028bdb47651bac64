// Makes the files of the console in `../dist`: `node build.mjs`.
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";

const here = new URL(".", import.meta.url).pathname;
const dist = new URL("../dist/", import.meta.url);
/** Everything that a browser loads, compressed. */
const MOST_BYTES = 250 * 1024;

const contract = JSON.parse(await readFile(new URL("../../dm-chain/contracts/artifacts/AnchorLog.json", import.meta.url), "utf8"));

/** Where the CREATE2 deployment proxy puts the contract on every chain (EIP-1014, salt 0). */
function addressOf(bytecode) {
  const proxy = hexToBytes("4e59b44847b379578588920ca78fbf26c0b4956c");
  const code = keccak_256(hexToBytes(bytecode.replace(/^0x/, "")));
  return `0x${bytesToHex(keccak_256(Buffer.concat([Buffer.of(0xff), proxy, Buffer.alloc(32), code]))).slice(24)}`;
}

function selectorOf(name) {
  const { inputs } = contract.abi.find((item) => item.type === "function" && item.name === name);
  const signature = `${name}(${inputs.map(({ type }) => type).join(",")})`;
  return `0x${bytesToHex(keccak_256(Buffer.from(signature))).slice(0, 8)}`;
}

const bytecode = contract.bytecode.object ?? contract.bytecode;
const define = {
  ANCHOR_CONTRACT: JSON.stringify(addressOf(bytecode)),
  PROVES_SELECTOR: JSON.stringify(selectorOf("proves")),
};

/** The licences of what others have written go with it. */
async function licences(...names) {
  const texts = await Promise.all(names.map((name) => readFile(`${here}node_modules/${name}/LICENSE`, "utf8")));
  return `/*!\n${names.map((name, index) => `${name}\n\n${texts[index].trim()}\n`).join("\n")}*/`;
}

async function bundle(entry, format, others = []) {
  const { outputFiles } = await build({
    entryPoints: [`${here}src/${entry}`],
    bundle: true,
    write: false,
    minify: true,
    format,
    target: ["es2022"],
    jsx: "automatic",
    jsxImportSource: "preact",
    charset: "utf8",
    legalComments: "none",
    ...(others.length ? { banner: { js: await licences(...others) } } : {}),
    define,
    external: ["/icon.svg"],
    logLevel: "warning",
  });
  return outputFiles[0].text;
}

const hashOf = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const [app, style, receipt, receiptStyle, page, icon] = await Promise.all([
  bundle("main.tsx", "esm", ["preact", "@preact/signals", "@preact/signals-core"]),
  bundle("styles/app.css", "esm"),
  bundle("receipt/page.tsx", "iife", ["preact", "@preact/signals", "@preact/signals-core", "@noble/hashes"]),
  bundle("styles/receipt.css", "esm"),
  readFile(`${here}src/index.html`, "utf8"),
  readFile(`${here}src/icon.svg`, "utf8"),
]);

// One file, which works from a disk as well; there its policy is the one that it contains.
const inline = receipt.replace(/<\/script/gi, "<\\/script");
const alone = `default-src 'none'; script-src ${hashOf(inline)}; style-src ${hashOf(receiptStyle)}; connect-src http: https:; form-action 'none'; base-uri 'none'`;
const checker = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${alone}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Check a receipt</title>
<style>${receiptStyle}</style>
</head>
<body>
<div id="app"></div>
<script>${inline}</script>
</body>
</html>
`;

const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "frame-src 'self' blob:",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");
const files = [
  ["/", "index.html", "text/html; charset=utf-8", PAGE_POLICY, page],
  ["/app.js", "app.js", "text/javascript; charset=utf-8", "default-src 'none'", app],
  ["/app.css", "app.css", "text/css; charset=utf-8", "default-src 'none'", style],
  ["/icon.svg", "icon.svg", "image/svg+xml", "default-src 'none'; sandbox", icon],
  ["/receipt.html", "receipt.html", "text/html; charset=utf-8", `${alone}; frame-ancestors 'self'; sandbox allow-scripts allow-forms allow-downloads`, checker],
];

const entries = files.map(([path, name, type, policy, text]) => {
  const tag = createHash("sha256").update(text).digest("hex").slice(0, 32);
  return `    (
        "${path}",
        PageFile {
            media_type: "${type}",
            policy: "${policy}",
            etag: "\\"${tag}\\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/${name}")),
        },
    ),
`;
});
const rust = `// Made by web/build.mjs.
const FILES: [(&str, PageFile); ${files.length}] = [
${entries.join("")}];
`;

await mkdir(dist, { recursive: true });
await Promise.all(files.map(([, name, , , text]) => writeFile(new URL(name, dist), text)));
await writeFile(new URL("files.rs", dist), rust);
const compressed = files.reduce((total, [, , , , text]) => total + gzipSync(text, { level: 9 }).length, 0);
console.log(`console: ${files.length} files, ${(compressed / 1024).toFixed(1)} KiB compressed`);
if (compressed > MOST_BYTES) throw new Error(`the console is larger than ${MOST_BYTES} bytes`);
