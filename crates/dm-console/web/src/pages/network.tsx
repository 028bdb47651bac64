// The peers, the copies that they keep, and how the network was.
import { useState } from "preact/hooks";
import { get, query } from "../api";
import { bytes, number, since } from "../format";
import { t } from "../i18n";
import { lastDay, samples, storage } from "../ui/history";
import { useLoad } from "../ui/load";
import { Badge, Copy, Empty, Foreign, Hash, PageHead, Section, Table, Trouble, Waiting } from "../ui/parts";
import { PeersPicture, SharesPicture, type Copied, type Peer } from "../ui/pictures";
import { Chart, HealthStrip } from "../ui/plot";

export function NetworkPage() {
  const { value, failure, reload } = useLoad((signal) => get<{ peers: Peer[] }>("/network/peers", signal), [], ["network."]);
  const peers = value?.peers ?? [];
  return (
    <>
      <PageHead title={t("nav.network")} lead={t("network.lead")} />
      <Trouble failure={failure} retry={reload} />
      <div class="columns">
        <Section title={t("network.picture")}>
          {!value && !failure && <Waiting />}
          {value && peers.length === 0 && <Empty title={t("network.none")}>{t("network.noneDo")}</Empty>}
          {peers.length > 0 && <><PeersPicture peers={peers} /><Legend /></>}
        </Section>
        <CopiesCard />
      </div>
      <OverTime />
      {peers.length > 0 && (
        <Section title={t("network.peers")}>
          <Table<Peer> label={t("network.peers")} rows={peers} id={({ peer_id }) => peer_id} columns={[
            { title: t("word.state"), cell: (peer) => <PeerBadge peer={peer} /> },
            { title: t("network.peer"), cell: (peer) => <><Hash id={peer.peer_id} /> <Copy text={peer.peer_id} label={t("network.peer")} /></> },
            { title: t("network.latency"), isNumber: true, cell: (peer) => (peer.latency_ms === null ? "–" : `${number(peer.latency_ms)} ms`) },
            { title: t("network.requests"), isNumber: true, cell: (peer) => t("network.requestsOf", { good: number(peer.successes), bad: number(peer.failures) }) },
            { title: t("network.seen"), cell: (peer) => since(peer.last_seen) },
            { title: t("network.addresses"), cell: (peer) => <bdi class="mono break">{peer.addresses[0] ?? "–"}</bdi> },
          ]} />
        </Section>
      )}
    </>
  );
}

function PeerBadge({ peer }: { peer: Peer }) {
  if (peer.banned_until) return <Badge tone="bad">{t("peer.banned")}</Badge>;
  if (!peer.connected) return <Badge tone="none">{t("peer.away")}</Badge>;
  return <Badge tone={peer.healthy ? "good" : "warn"}>{t(peer.healthy ? "peer.healthy" : "peer.failing")}</Badge>;
}

function Legend() {
  return (
    <ul class="legend">
      {(["good", "warn", "none", "bad"] as const).map((tone) => <li><span class={`dot ${tone}`} aria-hidden="true" />{t(`legend.${tone}`)}</li>)}
    </ul>
  );
}

/** As many of the newest shares are looked at. */
const SHARES = 200;

function CopiesCard() {
  const { value, failure, reload } = useLoad((signal) => get<{ shares: Copied[] }>(`/shares${query({ limit: SHARES })}`, signal), [], ["data.shared", "data.erased", "share.anchored"], 15_000);
  const stored = storage.value;
  const shares = value?.shares.filter(({ state }) => state !== "erased" && state !== "expired") ?? [];
  const waiting = shares.filter(({ replicas, replicas_wanted }) => replicas < replicas_wanted);
  return (
    <Section title={t("network.copies")}>
      <Trouble failure={failure} retry={reload} />
      {stored && <>
        <Used label={t("network.ownBytes")} used={stored.own_bytes} most={stored.max_own_bytes} />
        <Used label={t("network.foreignBytes")} used={stored.foreign_bytes} most={stored.max_foreign_bytes} />
        {stored.damaged > 0 && <p class="fault">{t("network.damaged", { count: stored.damaged })}</p>}
      </>}
      {!value && !failure && <Waiting />}
      {value && shares.length === 0 && <Empty title={t("shares.empty")}>{t("network.copiesNone")}</Empty>}
      {shares.length > 0 && <>
        <SharesPicture shares={shares} />
        <p class="quiet-text">{t("network.copiesSay", { whole: number(shares.length - waiting.length), waiting: number(waiting.length) })}</p>
        {waiting.length > 0 && (
          <ul class="plain-list">
            {waiting.slice(0, 4).map(({ data_hash, name, replicas, replicas_wanted }) => (
              <li key={data_hash}><a href={`#/shares/${data_hash}`}>{name ? <Foreign text={name} /> : <Hash id={data_hash} />}</a><span class="quiet-text">{t("shares.copiesOf", { made: replicas, wanted: replicas_wanted })}</span></li>
            ))}
          </ul>
        )}
      </>}
    </Section>
  );
}

function Used({ label, used, most }: { label: string; used: number; most: number }) {
  return (
    <div class="used">
      <p><span>{label}</span><span class="quiet-text">{t("network.usedOf", { used: bytes(used), most: bytes(most) })}</span></p>
      <meter aria-label={label} min={0} max={most} value={used} high={most * 0.9} />
    </div>
  );
}

const SPANS = ["open", "day"] as const;

function OverTime() {
  const [span, setSpan] = useState<(typeof SPANS)[number]>("open");
  const { value: day, failure } = useLoad((signal) => (span === "day" ? lastDay(signal) : Promise.resolve(null)), [span], [], 60_000);
  const shown = span === "day" ? (day ?? []) : samples.value;
  const times = shown.map(({ at }) => at);
  const last = shown.at(-1);
  const line = (name: "sent" | "received" | "peers" | "objects" | "own" | "foreign") => shown.map((sample) => sample[name]);
  const perSecond = (rate: number) => t("word.perSecond", { rate: bytes(rate) });
  const count = (value: number) => number(value);
  const grades = [t("health.unhealthy"), t("health.degraded"), t("health.healthy")];
  const now = (name: Parameters<typeof line>[0], write: (value: number) => string) => (last ? write(last[name]) : "–");
  return (
    <Section title={t("network.overTime")} actions={
      <select class="short" aria-label={t("network.span")} value={span} onChange={(event) => setSpan(event.currentTarget.value as typeof span)}>
        {SPANS.map((name) => <option value={name}>{t(`network.span.${name}`)}</option>)}
      </select>
    }>
      <Trouble failure={failure} />
      {shown.length < 2 && <p class="quiet-text" role="status">{t("network.soon")}</p>}
      {shown.length > 1 && (
        <div class="charts">
          <HealthStrip values={shown.map(({ health }) => health)} times={times} label={t("network.health")} now={last ? grades[last.health]! : "–"} grades={grades} />
          <Chart values={line("peers")} times={times} label={t("overview.peers")} floor={4} write={count} now={now("peers", count)} />
          <Chart values={line("sent")} times={times} label={t("overview.sent")} floor={1024} write={perSecond} now={now("sent", perSecond)} />
          <Chart values={line("received")} times={times} label={t("overview.received")} floor={1024} write={perSecond} now={now("received", perSecond)} />
          <Chart values={line("objects")} times={times} label={t("overview.objects")} floor={4} write={count} now={now("objects", count)} />
          <Chart values={shown.map(({ own, foreign }) => own + foreign)} times={times} label={t("network.growth")} floor={1024} write={bytes} now={last ? bytes(last.own + last.foreign) : "–"} />
        </div>
      )}
    </Section>
  );
}
