// The peers, and how the network was while this page was open.
import { get } from "../api";
import { bytes, number, since } from "../format";
import { t } from "../i18n";
import { samples, stats, storage } from "../ui/history";
import { useLoad } from "../ui/load";
import { Badge, Copy, Empty, Hash, PageHead, Section, Table, Trouble, Waiting } from "../ui/parts";
import { PeersPicture, type Peer } from "../ui/pictures";
import { Plot } from "../ui/plot";

export function NetworkPage() {
  const { value, failure, reload } = useLoad((signal) => get<{ peers: Peer[] }>("/network/peers", signal), [], ["network."], 5000);
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
        <Plots />
      </div>
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

function Plots() {
  const line = (name: "sent" | "received" | "peers" | "health" | "objects") => samples.value.map((sample) => sample[name]);
  const perSecond = (rate: number) => t("word.perSecond", { rate: bytes(rate) });
  const now = stats.value;
  const stored = storage.value;
  const grades = [t("health.unhealthy"), t("health.degraded"), t("health.healthy")];
  const write = (value: number) => grades[Math.round(value)] ?? "";
  const last = samples.value.at(-1);
  return (
    <Section title={t("network.overTime")}>
      <p class="quiet-text">{t("network.overTimeSays")}</p>
      <Line label={t("network.health")} now={last ? write(last.health) : "–"}><Plot values={line("health")} label={t("network.health")} floor={2} write={write} /></Line>
      <Line label={t("overview.peers")} now={now ? number(now.active_peers) : "–"}><Plot values={line("peers")} label={t("overview.peers")} floor={4} write={(value) => number(value)} /></Line>
      <Line label={t("overview.sent")} now={last ? perSecond(last.sent) : "–"}><Plot values={line("sent")} label={t("overview.sent")} floor={1024} write={perSecond} /></Line>
      <Line label={t("overview.received")} now={last ? perSecond(last.received) : "–"}><Plot values={line("received")} label={t("overview.received")} floor={1024} write={perSecond} /></Line>
      <Line label={t("overview.objects")} now={stored ? number(stored.objects) : "–"}><Plot values={line("objects")} label={t("overview.objects")} floor={4} write={(value) => number(value)} /></Line>
    </Section>
  );
}

function Line({ label, now, children }: { label: string; now: string; children: preact.ComponentChildren }) {
  return <div class="plot-line"><p><span>{label}</span> <strong>{now}</strong></p>{children}</div>;
}
