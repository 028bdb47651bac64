// A look at data of a stranger. Text is written as text, a picture is a picture alone, and a PDF
// is given to the browser's own viewer. Nothing of it runs as a part of this page.
import { useEffect, useState } from "preact/hooks";
import { ask } from "../api";
import { bytes, plain } from "../format";
import { t } from "../i18n";
import { asFailure } from "./load";
import { Trouble } from "./parts";
import type { Failure } from "../api";

const LARGEST = 20 << 20;
const LARGEST_TEXT = 256 << 10;
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/svg+xml", "image/bmp"];

type Shown = { text: string; isCut: boolean } | { url: string; kind: "picture" | "pdf" };

function kindOf(mediaType: string | null): "text" | "picture" | "pdf" | null {
  const type = (mediaType ?? "").split(";")[0]!.trim().toLowerCase();
  if (PICTURES.includes(type)) return "picture";
  if (type === "application/pdf") return "pdf";
  if (type.startsWith("text/") || /^application\/(json|xml|yaml|toml|x-ndjson)$/.test(type) || /\+(json|xml)$/.test(type)) return "text";
  return null;
}

export function Preview({ hash, mediaType, size, name }: { hash: string; mediaType: string | null; size: number; name: string }) {
  const [shown, setShown] = useState<Shown | null>(null);
  const [failure, setFailure] = useState<Failure>();
  const [isWanted, setWanted] = useState(false);
  const kind = kindOf(mediaType);
  useEffect(() => {
    setShown(null);
    setFailure(undefined);
    setWanted(false);
  }, [hash]);
  useEffect(() => {
    if (!isWanted || !kind) return;
    const abort = new AbortController();
    let url = "";
    const load = async () => {
      const headers: Record<string, string> = kind === "text" && size > LARGEST_TEXT ? { Range: `bytes=0-${LARGEST_TEXT - 1}` } : {};
      const response = await ask(`/objects/${hash}`, { headers, signal: abort.signal });
      const data = await response.arrayBuffer();
      if (kind === "text") return setShown({ text: new TextDecoder().decode(data), isCut: size > LARGEST_TEXT });
      // Its type is what was looked at above, whatever is in it.
      url = URL.createObjectURL(new Blob([data], { type: kind === "pdf" ? "application/pdf" : mediaType!.split(";")[0]! }));
      setShown({ url, kind });
    };
    load().catch((error) => abort.signal.aborted || setFailure(asFailure(error)));
    return () => {
      abort.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [isWanted, hash]);
  if (!kind) return <p class="quiet-text preview-none">{t("preview.none")}</p>;
  if (kind !== "text" && size > LARGEST) return <p class="quiet-text preview-none">{t("preview.large", { size: bytes(LARGEST) })}</p>;
  if (!isWanted) return <button type="button" class="preview-start" onClick={() => setWanted(true)}>{t("preview.show")}</button>;
  return (
    <div class="preview">
      <Trouble failure={failure} />
      {!shown && !failure && <p role="status">{t("word.loading")}</p>}
      {shown && "text" in shown && <><pre tabIndex={0} dir="auto">{plainLines(shown.text)}</pre>{shown.isCut && <p class="quiet-text">{t("preview.cut", { size: bytes(LARGEST_TEXT) })}</p>}</>}
      {shown && "url" in shown && shown.kind === "picture" && <img src={shown.url} alt={t("preview.of", { name: plain(name) })} onError={() => setFailure(asFailure(t("preview.broken")))} />}
      {shown && "url" in shown && shown.kind === "pdf" && <iframe src={shown.url} title={t("preview.of", { name: plain(name) })} />}
      {shown && "url" in shown && shown.kind === "pdf" && <p><a href={shown.url} target="_blank" rel="noopener noreferrer">{t("preview.open")}</a></p>}
    </div>
  );
}

function plainLines(text: string): string {
  return text.split(/\r?\n/).map((line) => line.split("\t").map(plain).join("\t")).join("\n");
}
