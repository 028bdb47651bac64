// What happens, as it happens. After a break the page goes on from the last event that it has
// seen, so that it misses none.
import { signal } from "@preact/signals";
import { Failure, get, query } from "./api";

export interface Happening {
  type: string;
  data: Record<string, unknown>;
  timestamp: number;
  /** Its place in the journal, or a name of its own if it passes and is kept nowhere. */
  id: string;
}

const KEPT = 500;
/** What says how the node is, every few seconds, and not what happens. */
const STATES = ["health.update", "network.stats_update", "token.balance_update"];
const LONGEST_PAUSE = 15_000;

export const happenings = signal<Happening[]>([]);
export const isLive = signal(false);
export const missed = signal(0);

type Listener = (happening: Happening) => void;
const listeners = new Set<Listener>();

export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

let owner = "";
let socket: WebSocket | null = null;
let cursor = "";
let failures = 0;
let passed = 0;
let timer = 0;

/** Follows what happens, for the bearer of a key. Who signs in again goes on from before. */
export function follow(key: string) {
  if (key !== owner) forget();
  owner = key;
  connect();
}

function connect() {
  if (socket || !owner) return;
  const place = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
  const here = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws${place}`);
  socket = here;
  here.onmessage = ({ data }) => hear(JSON.parse(data));
  here.onclose = () => {
    if (socket !== here) return;
    socket = null;
    isLive.value = false;
    failures += 1;
    examineCursor();
    timer = window.setTimeout(connect, Math.min(500 * 2 ** failures, LONGEST_PAUSE));
  };
}

/** Forgets the place where the node answers that there is none such: its journal is another one
 * by now. A node that is away says nothing of it. So it is seen, too, that the session has ended. */
async function examineCursor() {
  const place = cursor;
  if (!place) return;
  try {
    await get(`/events${query({ cursor: place, limit: 1 })}`);
  } catch (error) {
    if (error instanceof Failure && error.status === 422 && cursor === place) cursor = "";
  }
}

/** Follows no more, until it is asked to again. */
export function leave() {
  clearTimeout(timer);
  const open = socket;
  socket = null;
  open?.close();
  isLive.value = false;
  failures = 0;
}

/** What this person has seen is not for the next one. */
export function forget() {
  leave();
  owner = "";
  cursor = "";
  happenings.value = [];
  missed.value = 0;
}

function hear(message: { type: string; data: Record<string, unknown>; timestamp?: number; id?: string }) {
  if (message.type === "connected") {
    failures = 0;
    isLive.value = true;
  } else if (message.type === "missed") {
    missed.value += Number(message.data.missed);
  } else if (message.timestamp) {
    if (message.id) cursor = message.id;
    const happening = { ...message, id: message.id ?? `passing-${(passed += 1)}` } as Happening;
    if (happenings.value.some(({ id }) => id === happening.id)) return;
    if (!STATES.includes(happening.type)) happenings.value = [happening, ...happenings.value].slice(0, KEPT);
    for (const listener of listeners) listener(happening);
  }
}

addEventListener("online", () => {
  clearTimeout(timer);
  connect();
});
