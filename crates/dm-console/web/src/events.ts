// What happened, as a sentence.
import { named, t } from "./i18n";
import { plain, short } from "./format";
import { nameOf } from "./contacts";
import type { Happening } from "./live";
import type { Tone } from "./ui/parts";

const TONES: Record<string, Tone> = {
  "data.shared": "info", "data.received": "info", "data.fetched": "info", "data.acknowledged": "good",
  "share.anchored": "good", "token.transfer_completed": "good", "token.transfer_failed": "bad",
  "data.revoked": "warn", "data.erased": "warn", "data.expired": "warn", "system.error": "bad",
};

export function toneOf({ type, data }: Happening): Tone {
  if (type === "health.component_change") return data.connected === false || (data.health as { status?: string } | undefined)?.status === "unhealthy" ? "bad" : "info";
  return TONES[type] ?? "none";
}

export function titleOf(type: string): string {
  return named("event", type);
}

export function whoOf({ type, data }: Happening): string | undefined {
  if (type.startsWith("system.")) return undefined;
  if (type.startsWith("person.") || type.startsWith("api_key.")) return typeof data.name === "string" ? plain(data.name) : undefined;
  const party = data.recipient ?? data.owner ?? data.address;
  return typeof party === "string" ? (nameOf(party) ?? short(party)) : undefined;
}

export function detailOf(happening: Happening): string {
  const { type, data } = happening;
  if (type === "person.acted" || type === "api_key.acted") return plain(`${data.method} ${data.path} · ${data.status ?? "–"}`);
  const said = [data.part, data.reason, data.symbol, data.node_id, data.name].filter((text) => typeof text === "string");
  if (typeof data.component === "string") said.unshift(named("part", data.component));
  if (typeof data.connected === "boolean") said.push(t(data.connected ? "part.reached" : "part.away"));
  const { health } = data as { health?: { status?: string; reason?: string } };
  if (health?.status) said.push(named("health", health.status), ...(health.reason ? [health.reason] : []));
  if (typeof data.peer_id === "string") said.push(short(data.peer_id));
  if (typeof data.event_type === "string") said.push(named("kind", data.event_type));
  return said.map((text) => plain(String(text))).join(" · ");
}
