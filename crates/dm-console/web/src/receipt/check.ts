// Checks a receipt without any node: recomputes the inclusion proof (RFC 6962), and asks the
// anchor contract on a chain. Nothing that the receipt says of itself is believed.
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";

/** Computed when the page was made, from the bytecode and the interface of the contract. */
declare const ANCHOR_CONTRACT: string;
declare const PROVES_SELECTOR: string;

export interface Receipt {
  version: number;
  event: Record<string, unknown> & { version: number; event_type: string; log: string; data_hash?: string; recipient?: string; timestamp: number };
  leaf_index: number;
  inclusion_proof: string[];
  checkpoint: { size: number; root: string };
  anchor: { chain_id: number; contract: string; tx_hash: string; block: number; timestamp: number };
}

export type Flaw = "form" | "version" | "event_version" | "no_log" | "outside" | "not_included" | "wrong_chain" | "not_on_chain" | "no_contract" | "no_answer";

export class Invalid extends Error {
  constructor(readonly flaw: Flaw, readonly detail = "") {
    super(flaw);
  }
}

const WORD = /^0x[0-9a-fA-F]{64}$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const MAX_PROOF = 64;
const CALL_PATIENCE_MS = 20_000;

/** What the log says, as canonical JSON (RFC 8785). */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical((value as Record<string, unknown>)[name])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

export function parse(text: string): Receipt {
  let value: Receipt;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Invalid("form");
  }
  const { event, checkpoint, anchor, inclusion_proof: proof } = value ?? {};
  const hasForm =
    isObject(event) && isObject(checkpoint) && isObject(anchor) && Array.isArray(proof) &&
    proof.every((word) => typeof word === "string" && WORD.test(word)) &&
    typeof checkpoint.root === "string" && WORD.test(checkpoint.root) &&
    typeof event.log === "string" && ADDRESS.test(event.log) &&
    [value.leaf_index, checkpoint.size, anchor.chain_id, anchor.block, anchor.timestamp, event.timestamp].every((number) => Number.isSafeInteger(number) && number >= 0);
  if (!hasForm) throw new Invalid("form");
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Checks what needs no chain, and returns the hash of the leaf. */
export function checkProof(receipt: Receipt): Uint8Array {
  const { event, leaf_index: index, checkpoint, inclusion_proof: proof } = receipt;
  if (receipt.version !== 1) throw new Invalid("version");
  if (event.version !== 1) throw new Invalid("event_version");
  if (/^0x0*$/.test(event.log)) throw new Invalid("no_log");
  if (index >= checkpoint.size) throw new Invalid("outside");
  if (proof.length > MAX_PROOF) throw new Invalid("not_included");
  const leaf = sha256(joined(Uint8Array.of(0), utf8ToBytes(canonical(event))));
  const root = rootOf(leaf, BigInt(index), BigInt(checkpoint.size), proof.map((word) => hexToBytes(word.slice(2))));
  if (!root || bytesToHex(root) !== checkpoint.root.slice(2).toLowerCase()) throw new Invalid("not_included");
  return leaf;
}

/** RFC 9162, section 2.1.3.2. */
function rootOf(leaf: Uint8Array, index: bigint, size: bigint, proof: Uint8Array[]): Uint8Array | null {
  let [fn, sn, r] = [index, size - 1n, leaf];
  for (const p of proof) {
    if (sn === 0n) return null;
    if (fn & 1n || fn === sn) {
      r = node(p, r);
      while (fn !== 0n && !(fn & 1n)) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      r = node(r, p);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n ? r : null;
}

function node(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(joined(Uint8Array.of(1), left, right));
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

/** The call `proves(…)` of the anchor contract, ABI-encoded. */
export function callData(receipt: Receipt, leaf: Uint8Array): string {
  const word = (number: number) => BigInt(number).toString(16).padStart(64, "0");
  const { event, checkpoint, anchor, leaf_index: index, inclusion_proof: proof } = receipt;
  return [
    PROVES_SELECTOR,
    event.log.slice(2).toLowerCase().padStart(64, "0"),
    word(checkpoint.size),
    checkpoint.root.slice(2).toLowerCase(),
    word(anchor.block),
    word(anchor.timestamp),
    bytesToHex(leaf),
    word(index),
    // Where the proof begins: behind the eight words before.
    word(8 * 32),
    word(proof.length),
    ...proof.map((hash) => hash.slice(2).toLowerCase()),
  ].join("");
}

/** Asks the chain behind this address whether it confirms the receipt. */
export async function checkChain(receipt: Receipt, leaf: Uint8Array, url: string): Promise<void> {
  const chain = BigInt(await call<string>(url, "eth_chainId", []));
  if (chain !== BigInt(receipt.anchor.chain_id)) throw new Invalid("wrong_chain", chain.toString());
  const answer = await call<string>(url, "eth_call", [{ to: ANCHOR_CONTRACT, data: callData(receipt, leaf) }, "latest"]);
  if (answer === "0x") throw new Invalid("no_contract", ANCHOR_CONTRACT);
  if (BigInt(answer) !== 1n) throw new Invalid("not_on_chain");
}

async function call<T>(url: string, method: string, params: unknown[]): Promise<T> {
  let answer: { result?: T; error?: { message?: string } };
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: AbortSignal.timeout(CALL_PATIENCE_MS),
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
    answer = await response.json();
  } catch (error) {
    throw new Invalid("no_answer", error instanceof Error ? error.message : "");
  }
  if (answer.result === undefined) throw new Invalid("no_answer", answer.error?.message ?? "");
  return answer.result;
}

export const contract = () => ANCHOR_CONTRACT;
