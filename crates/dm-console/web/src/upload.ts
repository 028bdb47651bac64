// Shares a file over the tus protocol (https://tus.io): piece by piece, and after a break from
// where the node is. A page that was closed goes on when the same file is chosen again.
import { ask, Failure, get } from "./api";

export interface Terms {
  recipients: string[];
  name: string;
  media_type: string;
  labels: Record<string, string>;
  expires_at: string;
  payment_token: string;
  payment_amount: string;
}

export interface Outcome {
  recipient: string;
  success: boolean;
  status: string;
  data_hash?: string;
  error?: string;
}

const PIECE = 4 << 20;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
const TUS = { "Tus-Resumable": "1.0.0" };
const KEPT = "dm.uploads";

type Progress = (offset: number, state: "sending" | "waiting" | "sharing") => void;

export async function upload(file: File, terms: Terms, progress: Progress, signal: AbortSignal): Promise<Outcome[]> {
  const id = await begin(file, terms, signal);
  let pause = FIRST_PAUSE_MS;
  let offset: number | null = null;
  for (;;) {
    try {
      offset ??= await offsetOf(id, signal);
      progress(offset, "sending");
      while (offset < file.size) {
        offset = await sendPiece(id, file, offset, signal);
        pause = FIRST_PAUSE_MS;
        progress(offset, "sending");
      }
      progress(offset, "sharing");
      const outcome = await outcomeOf(id, terms, signal);
      if (outcome) {
        forget(file, terms);
        return outcome;
      }
      await rest(FIRST_PAUSE_MS, signal);
    } catch (error) {
      if (!isPassing(error)) {
        forget(file, terms);
        throw error;
      }
      progress(offset ?? 0, "waiting");
      await rest(pause, signal);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
      // The node says what it has.
      offset = null;
    }
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof Failure && (error.status === 0 || error.status === 409 || error.status === 423 || error.status === 429 || error.status >= 500);
}

async function begin(file: File, terms: Terms, signal: AbortSignal): Promise<string> {
  const known = remembered()[fingerprint(file, terms)];
  if (known) {
    try {
      await offsetOf(known, signal);
      return known;
    } catch (error) {
      if (isPassing(error)) return known;
      forget(file, terms);
    }
  }
  const metadata = { ...terms, recipients: terms.recipients.join(","), labels: Object.keys(terms.labels).length ? JSON.stringify(terms.labels) : "" };
  const response = await ask("/uploads", {
    method: "POST",
    headers: { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": encode(metadata) },
    signal,
  });
  const id = response.headers.get("Location")!.split("/").at(-1)!;
  keep({ ...remembered(), [fingerprint(file, terms)]: id });
  return id;
}

async function offsetOf(id: string, signal: AbortSignal): Promise<number> {
  const response = await ask(`/uploads/${id}`, { method: "HEAD", headers: TUS, signal });
  return Number(response.headers.get("Upload-Offset"));
}

async function sendPiece(id: string, file: File, offset: number, signal: AbortSignal): Promise<number> {
  const response = await ask(`/uploads/${id}`, {
    method: "PATCH",
    headers: { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" },
    body: file.slice(offset, offset + PIECE),
    signal,
  });
  return Number(response.headers.get("Upload-Offset"));
}

type Answer = { shares: Outcome[] } | Outcome | { status: "uploading" };

/** What has become of each recipient; null where the node is not so far. */
async function outcomeOf(id: string, terms: Terms, signal: AbortSignal): Promise<Outcome[] | null> {
  const answer = await get<Answer>(`/uploads/${id}`, signal);
  if ("shares" in answer) return answer.shares;
  return answer.status === "uploading" ? null : [{ recipient: terms.recipients[0]!, ...answer } as Outcome];
}

function encode(metadata: Record<string, string>): string {
  const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const given = Object.entries(metadata).filter(([, value]) => value !== "");
  return given.map(([key, value]) => `${key} ${base64(value)}`).join(",");
}

function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    addEventListener("online", () => resolve(), { once: true });
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

// Which uploads this browser has begun.
function fingerprint(file: File, terms: Terms): string {
  return JSON.stringify([file.name, file.size, file.lastModified, terms]);
}

function remembered(): Record<string, string> {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "{}");
  } catch {
    return {};
  }
}

function keep(uploads: Record<string, string>) {
  localStorage.setItem(KEPT, JSON.stringify(uploads));
}

export function forget(file: File, terms: Terms) {
  const { [fingerprint(file, terms)]: _, ...others } = remembered();
  keep(others);
}

/** Gives an upload up, also at the node. */
export async function giveUp(file: File, terms: Terms) {
  const id = remembered()[fingerprint(file, terms)];
  forget(file, terms);
  if (id) await ask(`/uploads/${id}`, { method: "DELETE", headers: TUS }).catch(() => {});
}
