// What the node says of its network and health every few seconds, while the page is open.
import { signal } from "@preact/signals";
import { get, may, session } from "../api";

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

export interface Sample {
  at: number;
  sent: number;
  received: number;
  peers: number;
  health: number;
  objects: number;
}

const EVERY_MS = 3000;
const KEPT = 200;
const GRADE = { healthy: 2, degraded: 1, unhealthy: 0 };

export const stats = signal<Stats | null>(null);
export const health = signal<Health | null>(null);
export const storage = signal<Storage | null>(null);
export const samples = signal<Sample[]>([]);
let before: { at: number; stats: Stats } | null = null;

async function look() {
  if (!session.value || !may("read") || document.hidden) return;
  try {
    const [now, state, stored] = await Promise.all([get<Stats>("/network/stats"), healthNow(), get<Storage>("/network/storage")]);
    const at = Date.now();
    const seconds = before ? (at - before.at) / 1000 : 0;
    const rate = (name: "data_sent" | "data_received") => (seconds ? Math.max(0, now[name] - before!.stats[name]) / seconds : 0);
    const sample = { at, sent: rate("data_sent"), received: rate("data_received"), peers: now.active_peers, health: GRADE[state.status], objects: stored.objects };
    before = { at, stats: now };
    stats.value = now;
    health.value = state;
    storage.value = stored;
    samples.value = [...samples.value, sample].slice(-KEPT);
  } catch {
    // The head of the page says that the node does not answer.
    before = null;
  }
}

/** Health is told with 503, too. */
async function healthNow(): Promise<Health> {
  return (await fetch("/api/health", { credentials: "same-origin" })).json();
}

export function watchNode(): () => void {
  look();
  const timer = setInterval(look, EVERY_MS);
  return () => {
    clearInterval(timer);
    samples.value = [];
    before = null;
  };
}
