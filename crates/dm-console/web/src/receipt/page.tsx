// The checker of receipts: one file, which works without any node.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { receiptTexts, type ReceiptKey } from "../texts/receipt";
import { plain } from "../plain";
import { checkChain, checkProof, contract, Invalid, parse, type Receipt } from "./check";

const given = new URLSearchParams(location.hash.slice(1));
const code = given.get("lang") ?? navigator.language.split("-")[0]!;
const texts = receiptTexts[code] ?? receiptTexts.en!;
const t = (key: ReceiptKey, values: Record<string, string | number> = {}) => texts[key].replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
const isNarrow = given.has("embedded");
document.documentElement.lang = code in receiptTexts ? code : "en";
const wantsDark = given.get("theme") ? given.get("theme") === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = wantsDark ? "dark" : "light";
if (isNarrow) document.documentElement.dataset.embedded = "";
document.title = t("title");

type Step = { state: "none" | "running" | "good" | "bad"; text: string };
const IDLE: Step = { state: "none", text: "" };
const proofStep = signal<Step>(IDLE);
const chainStep = signal<Step>(IDLE);

function sentence(error: unknown): string {
  return error instanceof Invalid ? t(`flaw.${error.flaw}` as ReceiptKey, { detail: plain(error.detail) }) : String(error);
}

function Checker() {
  const [text, setText] = useState(() => decode(given.get("receipt")));
  const [url, setUrl] = useState(given.get("rpc") ?? "");
  const [receipt, setReceipt] = useState<Receipt | null>(null);
  const check = async () => {
    proofStep.value = { state: "running", text: t("running") };
    chainStep.value = IDLE;
    setReceipt(null);
    let leaf: Uint8Array;
    let parsed: Receipt;
    try {
      parsed = parse(text);
      setReceipt(parsed);
      leaf = checkProof(parsed);
    } catch (error) {
      proofStep.value = { state: "bad", text: sentence(error) };
      return;
    }
    proofStep.value = { state: "good", text: t("proofHolds", { index: parsed.leaf_index, size: parsed.checkpoint.size }) };
    if (!url) {
      chainStep.value = { state: "none", text: t("needsChain") };
      return;
    }
    chainStep.value = { state: "running", text: t("running") };
    try {
      await checkChain(parsed, leaf, url);
      chainStep.value = { state: "good", text: t("chainHolds", { block: parsed.anchor.block }) };
    } catch (error) {
      chainStep.value = { state: "bad", text: sentence(error) };
    }
  };
  useEffect(() => {
    if (text) check();
  }, []);
  useEffect(() => {
    if (!isNarrow) return;
    const watch = new ResizeObserver(() => parent.postMessage({ height: document.documentElement.offsetHeight }, "*"));
    watch.observe(document.documentElement);
    return () => watch.disconnect();
  }, []);
  const take = async (file: File | undefined) => file && setText(await file.text());
  const isValid = proofStep.value.state === "good" && chainStep.value.state === "good";
  return (
    <main class="checker" onDragOver={(event) => event.preventDefault()} onDrop={(event) => { event.preventDefault(); take(event.dataTransfer?.files[0]); }}>
      {!isNarrow && <header class="page-head"><div><h1>{t("title")}</h1><p class="lead">{t("lead")}</p></div></header>}
      <form class="card form" onSubmit={(event) => { event.preventDefault(); check(); }}>
        <div class="field">
          <label for="receipt">{t("receipt")}</label>
          <textarea id="receipt" rows={isNarrow ? 5 : 8} spellcheck={false} class="mono" required value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <label class="file-line">{t("orFile")} <input type="file" accept=".json,application/json" onChange={(event) => take(event.currentTarget.files?.[0])} /></label>
        </div>
        <div class="field">
          <label for="rpc">{t("rpc")}</label>
          <input id="rpc" type="url" inputMode="url" placeholder="https://" pattern="https?://.+" value={url} onInput={(event) => setUrl(event.currentTarget.value)} aria-describedby="rpc-said" />
          <p class="hint" id="rpc-said">{t("rpcHint")}</p>
        </div>
        <button class="primary large">{t("check")}</button>
      </form>
      <div role="status" aria-live="polite">
        {proofStep.value.state !== "none" && (
          <section class={`card verdict ${isValid ? "good" : proofStep.value.state === "bad" || chainStep.value.state === "bad" ? "bad" : ""}`}>
            <h2>{t(isValid ? "valid" : proofStep.value.state === "bad" || chainStep.value.state === "bad" ? "invalid" : "half")}</h2>
            <StepLine title={t("stepProof")} step={proofStep.value} />
            <StepLine title={t("stepChain")} step={chainStep.value} />
          </section>
        )}
      </div>
      {receipt && <Facts receipt={receipt} />}
      {!isNarrow && <p class="foot">{t("foot", { contract: contract() })}</p>}
    </main>
  );
}

function StepLine({ title, step }: { title: string; step: Step }) {
  const mark = { none: "–", running: "…", good: "✓", bad: "✗" }[step.state];
  return <p class="step-line"><span class={`mark ${step.state}`} aria-hidden="true">{mark}</span><span><strong>{title}</strong> {step.text}</span></p>;
}

function Facts({ receipt }: { receipt: Receipt }) {
  const { event, anchor } = receipt;
  const time = (ms: number) => new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "long" }).format(ms);
  const kinds: Record<string, ReceiptKey> = { data_share: "kind.data_share", delivery: "kind.delivery", acknowledgement: "kind.acknowledgement", grant: "kind.grant", revoke: "kind.revoke", data_delete: "kind.data_delete", data_access: "kind.data_access", transfer: "kind.transfer", key_rotation: "kind.key_rotation" };
  const kind = kinds[event.event_type];
  const facts: [ReceiptKey, string | undefined][] = [
    ["what", kind ? t(kind) : event.event_type],
    ["dataHash", event.data_hash],
    ["recipient", event.recipient],
    ["log", event.log],
    ["recorded", time(event.timestamp)],
    ["anchored", `${time(anchor.timestamp * 1000)} · ${anchor.chain_id} · ${anchor.block}`],
  ];
  const isSigned = event.event_type === "delivery" || event.event_type === "acknowledgement";
  return (
    <section class="card">
      <h2>{t("says")}</h2>
      <dl class="facts">{facts.filter(([, value]) => value).map(([key, value]) => <div><dt>{t(key)}</dt><dd class="mono break"><bdi>{plain(String(value))}</bdi></dd></div>)}</dl>
      {isSigned && <p class="hint">{t("signature")}</p>}
      {event.mandate !== undefined && <p class="hint">{t("mandate")}</p>}
    </section>
  );
}

/** Base64url of UTF-8. */
function decode(text: string | null): string {
  if (!text) return "";
  try {
    const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
  } catch {
    return "";
  }
}

render(<Checker />, document.getElementById("app")!);
