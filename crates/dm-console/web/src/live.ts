// What happens, as it happens. After a break the page goes on from the last event that it has
// seen, so that it misses none.
import { signal } from "@preact/signals";

export interface Happening {
  type: string;
  data: Record<string, unknown>;
  timestamp: number;
  id: string;
}

const KEPT = 500;
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
    // The journal may be another one by now.
    if (failures > 3) cursor = "";
    timer = window.setTimeout(connect, Math.min(500 * 2 ** failures, LONGEST_PAUSE));
  };
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
  } else if (message.id) {
    const happening = message as Happening;
    if (happenings.value.some(({ id }) => id === happening.id)) return;
    cursor = happening.id;
    happenings.value = [happening, ...happenings.value].slice(0, KEPT);
    for (const listener of listeners) listener(happening);
  }
}

addEventListener("online", () => {
  clearTimeout(timer);
  connect();
});
