// Peers and copies as pictures.
import { bytes, short } from "../format";
import { t } from "../i18n";

export interface Held {
  objects: { owner: string; size: number; own: boolean; wanted: number; live: number; holders: { peer_id: string; since: number; proved_at: number | null; live: boolean }[] }[];
}

export interface Peer {
  peer_id: string;
  addresses: string[];
  first_seen: number;
  last_seen: number;
  latency_ms: number | null;
  successes: number;
  failures: number;
  connected: boolean;
  healthy: boolean;
  score: number;
  last_offence: string | null;
  banned_until: number | null;
}

const SIZE = 320;
const MIDDLE = SIZE / 2;
const MOST = 60;

function around(index: number, count: number, radius: number): [number, number] {
  const angle = (2 * Math.PI * index) / count - Math.PI / 2;
  return [MIDDLE + radius * Math.cos(angle), MIDDLE + radius * Math.sin(angle)];
}

/** This node in the middle; the longer the line, the slower the peer. */
export function PeersPicture({ peers }: { peers: Peer[] }) {
  const shown = peers.slice(0, MOST);
  const radius = (latency: number | null) => 70 + 70 * Math.min(1, Math.log10(1 + (latency ?? 1000)) / 3);
  const connected = peers.filter((peer) => peer.connected).length;
  return (
    <svg class="picture" viewBox={`0 0 ${SIZE} ${SIZE}`} role="img" aria-label={t("network.pictureSays", { peers: peers.length, connected })}>
      {shown.map((peer, index) => {
        const [x, y] = around(index, shown.length, radius(peer.latency_ms));
        const tone = peer.banned_until ? "bad" : !peer.connected ? "none" : peer.healthy ? "good" : "warn";
        return (
          <g class={`peer ${tone}`}>
            <line x1={MIDDLE} y1={MIDDLE} x2={x} y2={y} />
            <circle cx={x} cy={y} r={shown.length > 24 ? 5 : 9}><title>{`${peer.peer_id}${peer.latency_ms === null ? "" : ` · ${peer.latency_ms} ms`}`}</title></circle>
            {shown.length <= 12 && <text x={x} y={y + (y < MIDDLE ? -14 : 24)}>…{peer.peer_id.slice(-6)}</text>}
          </g>
        );
      })}
      <circle class="self" cx={MIDDLE} cy={MIDDLE} r={18} />
      <text class="self-text" x={MIDDLE} y={MIDDLE + 4}>{t("network.self")}</text>
    </svg>
  );
}

/** The copies that are there, and the places of those that are to come. */
export function CopiesPicture({ object }: { object: Held["objects"][number] }) {
  const places = Math.max(object.wanted, object.holders.length);
  return (
    <ul class="copies" aria-label={t("shares.copies")}>
      {Array.from({ length: places }, (_, index) => {
        const holder = object.holders[index];
        return (
          <li class={holder?.live ? "live" : holder ? "stale" : "open"}>
            <span class="copy-box" aria-hidden="true" />
            <span>{holder ? <bdi class="mono" title={holder.peer_id}>{short(holder.peer_id)}</bdi> : t("copy.open")}</span>
            <span class="quiet-text">{holder ? t(holder.live ? "copy.live" : "copy.stale") : bytes(object.size)}</span>
          </li>
        );
      })}
    </ul>
  );
}

export interface Copied {
  data_hash: string;
  name: string | null;
  state: string;
  replicas: number;
  replicas_wanted: number;
}

/** A square for each share, the newest first: full where it has all its copies. */
export function SharesPicture({ shares }: { shares: Copied[] }) {
  const whole = shares.filter(({ replicas, replicas_wanted }) => replicas >= replicas_wanted).length;
  return (
    <div class="squares" role="img" aria-label={t("network.copiesSay", { whole, waiting: shares.length - whole })}>
      {shares.map(({ data_hash, replicas, replicas_wanted }, index) => (
        <span key={`${data_hash}${index}`} class={replicas >= replicas_wanted ? "good" : replicas > 0 ? "warn" : "none"} />
      ))}
    </div>
  );
}
