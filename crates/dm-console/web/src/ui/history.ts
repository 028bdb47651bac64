// What the node says of its network and health, and how they were.
import { signal } from "@preact/signals";
import { get, may, session } from "../api";
import { isLive, listen } from "../live";

export interface Stats {
  total_peers: number;
  healthy_peers: number;
  active_peers: number;
  data_sent: number;
  data_received: number;
  uptime: number;
  avg_latency_ms: number | null;
}

export interface Part {
  status: "healthy" | "degraded" | "unhealthy";
  since: number;
  reason?: string;
  action?: string;
}

export interface Health {
  status: Part["status"];
  components: Record<string, string>;
  parts: Record<string, Part>;
  version: string;
}

export interface Storage {
  objects: number;
  own_bytes: number;
  max_own_bytes: number;
  foreign_bytes: number;
  max_foreign_bytes: number;
  damaged: number;
}

/** How the node was at one moment; traffic in bytes a second. */
export interface Sample {
  at: number;
  health: number;
  peers: number;
  sent: number;
  received: number;
  objects: number;
  own: number;
  foreign: number;
}

/** What the node notes every minute; traffic in bytes since its start. */
interface Noted {
  at: number;
  health: Part["status"];
  peers: number;
  sent: number;
  received: number;
  objects: number;
  own_bytes: number;
  foreign_bytes: number;
}

const STORAGE_EVERY_MS = 15_000;
/** While nothing is told. */
const ASK_EVERY_MS = 3_000;
const KEPT = 120;
const GRADE = { healthy: 2, degraded: 1, unhealthy: 0 };

export const stats = signal<Stats | null>(null);
export const health = signal<Health | null>(null);
export const storage = signal<Storage | null>(null);
/** Since the page was opened. */
export const samples = signal<Sample[]>([]);
let before: { at: number; stats: Stats } | null = null;

/** The totals of the network, as the node has told them at this moment. */
function take(now: Stats, at: number) {
  const seconds = before ? (at - before.at) / 1000 : 0;
  const rate = (name: "data_sent" | "data_received") => (seconds > 0 ? Math.max(0, now[name] - before!.stats[name]) / seconds : 0);
  const sample = {
    at, sent: rate("data_sent"), received: rate("data_received"), peers: now.active_peers,
    health: GRADE[health.value?.status ?? "healthy"], objects: storage.value?.objects ?? 0,
    own: storage.value?.own_bytes ?? 0, foreign: storage.value?.foreign_bytes ?? 0,
  };
  before = { at, stats: now };
  stats.value = now;
  samples.value = [...samples.value, sample].slice(-KEPT);
}

async function look() {
  if (!session.value || !may("read")) return;
  try {
    const [now, state] = await Promise.all([get<Stats>("/network/stats"), healthNow(), lookAtStorage()]);
    health.value = state;
    take(now, Date.now());
  } catch {
    // The head of the page says that the node does not answer.
    before = null;
  }
}

async function lookAtStorage() {
  if (document.hidden && storage.value) return;
  storage.value = await get<Storage>("/network/storage");
}

/** Health is told with 503, too. */
async function healthNow(): Promise<Health> {
  return (await fetch("/api/health", { credentials: "same-origin" })).json();
}

/** Follows what the node says of itself. */
export function watchNode(): () => void {
  look();
  const silence = listen(({ type, data, timestamp }) => {
    if (type === "health.update") health.value = data as unknown as Health;
    if (type === "network.stats_update") take(data as unknown as Stats, timestamp * 1000);
    // It may have forgotten what it counted.
    if (type === "system.node_started") before = null;
  });
  const timers = [
    setInterval(() => may("read") && lookAtStorage().catch(() => {}), STORAGE_EVERY_MS),
    // Also where something on the way lets no WebSocket through.
    setInterval(() => isLive.value || document.hidden || look(), ASK_EVERY_MS),
  ];
  return () => {
    silence();
    timers.forEach(clearInterval);
    samples.value = [];
    before = null;
  };
}

/** The last day, as far as the node has run. */
export async function lastDay(signal: AbortSignal): Promise<Sample[]> {
  const { samples } = await get<{ samples: Noted[] }>("/dashboard/trend", signal);
  return samples.map((noted, index) => {
    const earlier = samples[index - 1] ?? noted;
    const seconds = (noted.at - earlier.at) / 1000;
    const rate = (name: "sent" | "received") => (seconds > 0 ? Math.max(0, noted[name] - earlier[name]) / seconds : 0);
    return {
      at: noted.at, health: GRADE[noted.health], peers: noted.peers, sent: rate("sent"), received: rate("received"),
      objects: noted.objects, own: noted.own_bytes, foreign: noted.foreign_bytes,
    };
  });
}
