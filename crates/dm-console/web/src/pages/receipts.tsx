// Receipts: fetched from the node, and checked without it.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api";
import { isDark } from "../theme";
import { language, t } from "../i18n";
import { useLoad } from "../ui/load";
import { Field, PageHead, Section, Trouble, Waiting } from "../ui/parts";
import { go } from "../route";

/** Of the frame with the checker, in pixels. */
const MOST_HEIGHT = 4000;
const KINDS = ["data_share", "delivery", "acknowledgement"] as const;

export function ReceiptsPage({ rest, query }: { rest: string[]; query: URLSearchParams }) {
  const path = pathOf(rest, query);
  const { value: receipt, failure, reload } = useLoad(async (signal) => (path ? get<unknown>(path, signal) : null), [path]);
  const text = receipt ? JSON.stringify(receipt, null, 2) : "";
  return (
    <>
      <PageHead title={t("nav.receipts")} lead={t("receipts.lead")} actions={<a class="button" href="/receipt.html" download="datamgmt-receipt-checker.html">{t("receipts.save")}</a>} />
      <Find />
      <Trouble failure={failure} retry={reload} />
      {path && !receipt && !failure && <Waiting />}
      <Section title={t("receipts.checker")} actions={text && <SaveReceipt text={text} />}>
        <p>{t("receipts.apart")}</p>
        {(!path || receipt || failure) && <Checker key={text} receipt={text} />}
      </Section>
    </>
  );
}

function pathOf(rest: string[], query: URLSearchParams): string | null {
  const [kind, id] = rest;
  if (kind === "event" && id) return `/receipts/events/${encodeURIComponent(id)}`;
  if (kind) return `/receipts/${encodeURIComponent(kind)}?${query.toString()}`;
  return null;
}

function Find() {
  const [hash, setHash] = useState("");
  const [event, setEvent] = useState<string>(KINDS[0]);
  const [fault, setFault] = useState("");
  const submit = (submitted: Event) => {
    submitted.preventDefault();
    const wanted = hash.trim();
    if (!/^[0-9a-fA-F]{64}$/.test(wanted)) return setFault(t("receipts.needHash"));
    setFault("");
    location.hash = `/receipts/${wanted}?event=${event}`;
  };
  return (
    <form class="card form inline" onSubmit={submit}>
      <Field label={t("word.hash")} fault={fault || undefined} hint={t("receipts.findHint")}>
        {(props) => <input {...props} class="mono" spellcheck={false} value={hash} onInput={(typed) => setHash(typed.currentTarget.value)} />}
      </Field>
      <Field label={t("receipts.kind")}>
        {(props) => <select {...props} value={event} onChange={(chosen) => setEvent(chosen.currentTarget.value)}>{KINDS.map((kind) => <option value={kind}>{t(`kind.${kind}`)}</option>)}</select>}
      </Field>
      <div class="actions"><button class="primary">{t("receipts.find")}</button><button type="button" class="quiet" onClick={() => go("receipts")}>{t("act.clear")}</button></div>
    </form>
  );
}

function SaveReceipt({ text }: { text: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [text]);
  return <a class="button small" href={url} download="receipt.json">{t("receipts.saveReceipt")}</a>;
}

/** The checker has an origin of its own: it may ask any chain, and nothing of this page. */
function Checker({ receipt }: { receipt: string }) {
  const values: Record<string, string> = { embedded: "", theme: isDark() ? "dark" : "light", lang: language.value };
  if (receipt) values.receipt = encode(receipt);
  const source = `/receipt.html#${new URLSearchParams(values)}`;
  const frame = useRef<HTMLIFrameElement>(null);
  const [height, setHeight] = useState(0);
  useEffect(() => {
    const hear = ({ source, data }: MessageEvent) => {
      if (source === frame.current?.contentWindow && typeof data?.height === "number") setHeight(Math.min(Math.max(data.height, 0), MOST_HEIGHT));
    };
    addEventListener("message", hear);
    return () => removeEventListener("message", hear);
  }, []);
  return <iframe key={source} ref={frame} style={height ? { height: `${height}px` } : {}} class="checker-frame" sandbox="allow-scripts allow-forms allow-downloads" src={source} title={t("receipts.checker")} />;
}

function encode(text: string): string {
  const binary = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_");
}
