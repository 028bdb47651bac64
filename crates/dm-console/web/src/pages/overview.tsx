// How the node is, and what happens.
import { health, samples, stats, storage, type Part } from "../ui/history";
import { happenings, isLive, missed } from "../live";
import { bytes, duration, number, shortTime, since } from "../format";
import { named, t, type Key } from "../i18n";
import { detailOf, titleOf, toneOf, whoOf } from "../events";
import { Badge, Empty, Foreign, Hash, PageHead, Section, Waiting, type Tone } from "../ui/parts";
import { Plot } from "../ui/plot";

export const HEALTH_TONE: Record<Part["status"], Tone> = { healthy: "good", degraded: "warn", unhealthy: "bad" };

/** Events that are listed. */
const SHOWN = 200;

export function Overview() {
  return (
    <>
      <PageHead title={t("nav.overview")} lead={t("overview.lead")} />
      <Tiles />
      <div class="columns">
        <HealthCard />
        <EventsCard />
      </div>
    </>
  );
}

function Tiles() {
  const now = stats.value;
  const stored = storage.value;
  const last = samples.value.at(-1);
  const perSecond = (rate: number) => t("word.perSecond", { rate: bytes(rate) });
  const line = (name: "sent" | "received" | "peers" | "objects") => samples.value.map((sample) => sample[name]);
  return (
    <div class="tiles">
      <Tile label={t("overview.peers")} value={now ? number(now.active_peers) : "–"} note={now ? t("overview.peersNote", { known: now.total_peers }) : ""}>
        <Plot values={line("peers")} label={t("overview.peers")} floor={4} write={(value) => number(value)} />
      </Tile>
      <Tile label={t("overview.sent")} value={last ? perSecond(last.sent) : "–"} note={now ? t("word.inAll", { size: bytes(now.data_sent) }) : ""}>
        <Plot values={line("sent")} label={t("overview.sent")} floor={1024} write={perSecond} />
      </Tile>
      <Tile label={t("overview.received")} value={last ? perSecond(last.received) : "–"} note={now ? t("word.inAll", { size: bytes(now.data_received) }) : ""}>
        <Plot values={line("received")} label={t("overview.received")} floor={1024} write={perSecond} />
      </Tile>
      <Tile label={t("overview.stored")} value={stored ? bytes(stored.own_bytes) : "–"} note={stored ? t("overview.storedNote", { objects: number(stored.objects), foreign: bytes(stored.foreign_bytes) }) : ""}>
        <Plot values={line("objects")} label={t("overview.objects")} floor={4} write={(value) => number(value)} />
      </Tile>
    </div>
  );
}

function Tile({ label, value, note, children }: { label: string; value: string; note: string; children: preact.ComponentChildren }) {
  return (
    <div class="tile card">
      <p class="tile-label">{label}</p>
      <p class="tile-value">{value}</p>
      <p class="tile-note">{note}</p>
      {children}
    </div>
  );
}

function HealthCard() {
  const state = health.value;
  if (!state) return <Section title={t("overview.health")}><Waiting /></Section>;
  return (
    <Section title={t("overview.health")} actions={<Badge tone={HEALTH_TONE[state.status]}>{t(`health.${state.status}` as Key)}</Badge>}>
      <ul class="parts">
        {Object.entries(state.parts).map(([name, part]) => (
          <li key={name}>
            <span class={`dot ${HEALTH_TONE[part.status]}`} aria-hidden="true" />
            <div>
              <p><strong>{named("part", name)}</strong> <span class="quiet-text">{t(`health.${part.status}` as Key)}, {since(part.since)}</span></p>
              {part.reason && <p class="reason">{part.reason}</p>}
              {part.action && <p class="reason">{part.action}</p>}
            </div>
          </li>
        ))}
      </ul>
      <p class="foot">{t("overview.version", { version: state.version, uptime: duration(stats.value?.uptime ?? 0) })}</p>
    </Section>
  );
}

function EventsCard() {
  const events = happenings.value;
  return (
    <Section title={t("overview.events")} actions={<Badge tone={isLive.value ? "good" : "warn"}>{t(isLive.value ? "live.on" : "live.off")}</Badge>}>
      {missed.value > 0 && <p class="reason">{t("live.missed", { count: missed.value })}</p>}
      {events.length === 0 ? (
        <Empty title={t("overview.noEvents")}>{t("overview.noEventsDo")} <a href="#/share">{t("nav.share")}</a></Empty>
      ) : (
        <ol class="events" tabIndex={0} aria-label={t("overview.events")}>
          {events.slice(0, SHOWN).map((event) => (
            <li key={event.id}>
              <span class={`dot ${toneOf(event)}`} aria-hidden="true" />
              <div class="event-text">
                <p>{titleOf(event.type)} {whoOf(event) && <Foreign text={whoOf(event)!} />}</p>
                <p class="quiet-text">
                  {typeof event.data.data_hash === "string" && <Hash id={event.data.data_hash} href={linkOf(event.type, event.data.data_hash)} />} {detailOf(event)}
                </p>
              </div>
              <time dateTime={new Date(event.timestamp * 1000).toISOString()}>{shortTime(event.timestamp * 1000)}</time>
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}

function linkOf(type: string, hash: string): string {
  return type === "data.received" || type === "data.fetched" ? `#/inbox/${hash}` : `#/shares/${hash}`;
}
