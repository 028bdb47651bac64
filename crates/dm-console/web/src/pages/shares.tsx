// What this node has shared, and where each share stands.
import { useState } from "preact/hooks";
import { get, may, query, send } from "../api";
import { contacts, nameOf } from "../contacts";
import { bytes, short, shortTime, time, tokens } from "../format";
import { named, t, type Key } from "../i18n";
import { useLoad } from "../ui/load";
import { VirtualList } from "../ui/list";
import { usePages } from "../ui/pages";
import { act, ask, Badge, Copy, Empty, Facts, Field, Foreign, Hash, PageHead, Section, Trouble, Waiting, type Tone } from "../ui/parts";
import { Filters, type Filter } from "../ui/filters";
import { LabelList } from "../ui/labels";
import { CopiesPicture, type Held } from "../ui/pictures";
import type { Token } from "./share";

interface Share {
  data_hash: string;
  recipient: string;
  contact: string | null;
  name: string | null;
  media_type: string | null;
  labels: Record<string, string>;
  correlation_id: string | null;
  supersedes: string | null;
  size: number | null;
  state: "shared" | "notified" | "acknowledged" | "revoked" | "erased" | "expired";
  status: "anchored" | "pending";
  created_at: number;
  replicas: number;
  replicas_wanted: number;
  grant: "made" | "pending";
  granted_at: number | null;
  receipt: number | null;
  recorded_at: number | null;
  tx_hash: string | null;
  block: number | null;
  anchored_at: number | null;
  notified_at: number | null;
  fetched_at: number | null;
  acknowledged_at: number | null;
  delivery_receipt: number | null;
  ended_at: number | null;
  expires_at: number | null;
  payment: { amount: string; token: string; paid_by: string; tx_hash: string } | null;
}

interface Shared {
  data_hash: string;
  name: string | null;
  media_type: string | null;
  labels: Record<string, string>;
  correlation_id: string | null;
  supersedes: string | null;
  size: number | null;
  replicas: number;
  replicas_wanted: number;
  expires_at: number | null;
  readers: string[];
  shares: Share[];
  events: { event_type: string; recipient: string | null; recorded_at: number; receipt: number; tx_hash: string | null }[];
}

const TONE: Record<Share["state"], Tone> = { shared: "none", notified: "info", acknowledged: "good", revoked: "warn", erased: "warn", expired: "warn" };
const STATES = ["shared", "notified", "acknowledged", "revoked", "erased", "expired"];
const TOPICS = ["data.shared", "share.anchored", "data.acknowledged", "data.revoked", "data.erased", "data.expired"];
const PAGE = 200;

export function SharesPage({ hash }: { hash: string | undefined }) {
  const [filter, setFilter] = useState<Filter>({});
  const pages = usePages<Share>(
    async (cursor) => {
      const { party, label, ...rest } = filter;
      const labels = label ? `&label.${encodeURIComponent(label.split("=")[0]!)}=${encodeURIComponent(label.split("=").slice(1).join("="))}` : "";
      const page = await get<{ shares: Share[]; next_cursor: string | null }>(`/shares${query({ recipient: party, ...rest, limit: PAGE, cursor })}${labels}`);
      return { items: page.shares, next: page.next_cursor };
    },
    [JSON.stringify(filter)],
    ({ data_hash, recipient }) => data_hash + recipient,
    TOPICS,
  );
  const hasFilter = Object.values(filter).some(Boolean);
  return (
    <div class={`split ${hash ? "has-detail" : ""}`}>
      <div class="split-list">
        <PageHead title={t("nav.shares")} lead={t("shares.lead")} actions={<a class="button primary" href="#/share">{t("nav.share")}</a>} />
        <Filters states={STATES} stateText={(state) => t(`shares.state.${state}` as Key)} party={t("shares.recipient")} change={setFilter} withLabel />
        <Trouble failure={pages.failure} retry={pages.reload} />
        {pages.items.length === 0 && !pages.failure && (pages.isLoading ? <Waiting /> : <Empty title={t(hasFilter ? "list.noMatch" : "shares.empty")}>{hasFilter ? t("list.noMatchDo") : <a href="#/share">{t("shares.emptyDo")}</a>}</Empty>)}
        <VirtualList label={t("nav.shares")} pages={pages} height={68} id={({ data_hash, recipient }) => data_hash + recipient} row={(share) => <Row share={share} isOpen={share.data_hash === hash} />} />
      </div>
      {hash && <Detail key={hash} hash={hash} />}
    </div>
  );
}

function Row({ share, isOpen }: { share: Share; isOpen: boolean }) {
  return (
    <a class={`line ${isOpen ? "open" : ""}`} href={`#/shares/${share.data_hash}`} aria-current={isOpen ? "true" : undefined}>
      <span class="line-main"><span class="line-title"><Foreign text={share.name ?? short(share.data_hash)} /></span><span class="line-sub">{t("word.to")} <Foreign text={share.contact ?? short(share.recipient)} /> · {t("shares.copiesOf", { made: share.replicas, wanted: share.replicas_wanted })}</span></span>
      <span class="line-side"><Badge tone={TONE[share.state]}>{t(`shares.state.${share.state}` as Key)}</Badge><time class="quiet-text" dateTime={new Date(share.created_at).toISOString()}>{shortTime(share.created_at)}</time></span>
    </a>
  );
}

function Detail({ hash }: { hash: string }) {
  const { value: shared, failure, reload } = useLoad((signal) => get<Shared>(`/shares/${hash}`, signal), [hash], TOPICS, 5000);
  if (!shared) return <div class="detail card"><a class="back" href="#/shares">{t("act.back")}</a>{failure ? <Trouble failure={failure} retry={reload} /> : <Waiting />}</div>;
  const isErased = shared.shares.length > 0 && shared.shares.every(({ state }) => state === "erased" || state === "expired");
  const erase = () =>
    ask({
      title: t("shares.eraseTitle"),
      text: <ul>{(["eraseKey", "eraseReaders", "eraseCopies", "eraseLog"] as const).map((part) => <li>{t(`shares.${part}`)}</li>)}</ul>,
      consent: t("shares.eraseConsent"),
      action: t("shares.erase"),
      isDanger: true,
      run: () => act(() => send("DELETE", `/data/${hash}`), t("shares.erased")).then(reload),
    });
  return (
    <div class="detail">
      <a class="back" href="#/shares">{t("act.back")}</a>
      <Section title={shared.name ?? short(hash)} actions={may("share") && !isErased && <button type="button" class="danger-quiet" onClick={erase}>{t("shares.erase")}</button>}>
        <Facts facts={[
          [t("word.size"), bytes(shared.size)],
          [t("word.mediaType"), <Foreign text={shared.media_type ?? "–"} />],
          [t("share.expires"), shared.expires_at ? time(shared.expires_at) : t("word.never")],
          [t("shares.readers"), shared.readers.length ? shared.readers.map((reader, index) => <>{index > 0 && ", "}<Foreign text={nameOf(reader) ?? short(reader)} /></>) : t("shares.noReaders")],
          [t("word.hash"), <><Hash id={hash} /> <Copy text={hash} label={t("word.hash")} /></>],
          ...(shared.correlation_id ? [[t("word.correlation"), <Foreign text={shared.correlation_id} />] as [string, preact.JSX.Element]] : []),
          ...(shared.supersedes ? [[t("word.supersedes"), <Hash id={shared.supersedes} href={`#/shares/${shared.supersedes}`} />] as [string, preact.JSX.Element]] : []),
        ]} />
        <LabelList labels={shared.labels} />
      </Section>
      {shared.shares.map((share) => <Timeline key={share.recipient} share={share} reload={reload} />)}
      {may("share") && !isErased && <Grant hash={hash} done={reload} />}
      <Copies hash={hash} made={shared.replicas} wanted={shared.replicas_wanted} />
      <Section title={t("shares.events")} level={3}>
        <ul class="plain-list">
          {shared.events.map((event) => (
            <li key={event.receipt}>
              <span>{named("kind", event.event_type)} {event.recipient && <Foreign text={nameOf(event.recipient) ?? short(event.recipient)} />}</span>
              <span class="quiet-text">{time(event.recorded_at)}</span>
              <a href={`#/receipts/event/${event.receipt}`}>{t("shares.receipt")}</a>
            </li>
          ))}
        </ul>
      </Section>
    </div>
  );
}

/** A step of a share: done at a time, or done at no time that is known. */
interface Step {
  key: Key;
  at?: number | null;
  isDone?: boolean;
  detail?: string | undefined;
}

function Timeline({ share, reload }: { share: Share; reload: () => void }) {
  const { value: known } = useLoad((signal) => (share.payment ? get<{ tokens: Token[] }>("/tokens", signal) : Promise.resolve({ tokens: [] })), [!!share.payment]);
  const token = known?.tokens.find(({ address }) => address === share.payment?.token);
  const who = share.contact ?? nameOf(share.recipient) ?? short(share.recipient);
  const hasEnded = share.ended_at !== null;
  const revoke = () =>
    ask({
      title: t("shares.revokeTitle", { who }),
      text: <p>{t("shares.revokeText")}</p>,
      action: t("shares.revoke"),
      isDanger: true,
      run: () => act(() => send("DELETE", `/data/${share.data_hash}/grants`, { recipient: share.recipient }), t("shares.revoked", { who })).then(reload),
    });
  const isCopied = share.replicas >= share.replicas_wanted;
  const steps: Step[] = [
    { key: "step.requested", at: share.created_at },
    ...(share.payment ? [{ key: "step.paid", isDone: true, detail: token ? `${tokens(share.payment.amount, token.decimals)} ${token.symbol}` : share.payment.amount } as Step] : []),
    { key: "step.granted", at: share.granted_at, detail: share.grant === "pending" ? t("step.grantPending") : undefined },
    { key: "step.distributed", isDone: isCopied, detail: t("shares.copiesOf", { made: share.replicas, wanted: share.replicas_wanted }) },
    { key: "step.recorded", at: share.recorded_at, detail: share.receipt === null ? undefined : t("step.position", { position: share.receipt }) },
    { key: "step.anchored", at: share.anchored_at, detail: share.block === null ? undefined : t("step.block", { block: share.block }) },
    { key: "step.notified", at: share.notified_at },
    { key: "step.fetched", at: share.fetched_at },
    { key: "step.acknowledged", at: share.acknowledged_at },
  ];
  return (
    <Section level={3} title={t("shares.toWhom", { who })} actions={<><Badge tone={TONE[share.state]}>{t(`shares.state.${share.state}` as Key)}</Badge>{may("share") && !hasEnded && <button type="button" class="danger-quiet small" onClick={revoke}>{t("shares.revoke")}</button>}</>}>
      <ol class="timeline">
        {steps.map(({ key, at, isDone = at != null, detail }) => (
          <li class={isDone ? "done-step" : "open-step"}>
            <span class="step-name">{t(key)} <span class="visually-hidden">({t(isDone ? "word.done" : "word.notYet")})</span></span>
            <span class="quiet-text">{[at != null ? time(at) : !isDone && !detail && t("word.notYet"), detail].filter(Boolean).join(" · ")}</span>
          </li>
        ))}
        {hasEnded && <li class="ended-step"><span class="step-name">{t(`shares.state.${share.state}` as Key)}</span><span class="quiet-text">{time(share.ended_at)}</span></li>}
      </ol>
      <div class="actions">
        {share.receipt !== null && share.status === "anchored" && <a class="button small" href={`#/receipts/event/${share.receipt}`}>{t("shares.receipt")}</a>}
        {share.delivery_receipt !== null && <a class="button small" href={`#/receipts/event/${share.delivery_receipt}`}>{t("shares.deliveryReceipt")}</a>}
      </div>
    </Section>
  );
}

function Grant({ hash, done }: { hash: string; done: () => void }) {
  const [party, setParty] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    if (party && (await act(() => send("POST", `/data/${hash}/grants`, { recipient: party.trim() }), t("shares.granted", { who: party })))) {
      setParty("");
      done();
    }
  };
  return (
    <Section title={t("shares.grant")} level={3}>
      <form onSubmit={submit}>
        <Field label={t("shares.recipient")} hint={t("share.toHint")}>
          {(props) => <div class="row"><input {...props} list="known" required spellcheck={false} value={party} onInput={(event) => setParty(event.currentTarget.value)} /><button class="primary">{t("shares.grantDo")}</button></div>}
        </Field>
        <datalist id="known">{contacts.value.map(({ name }) => <option value={name} />)}</datalist>
      </form>
    </Section>
  );
}

function Copies({ hash, made, wanted }: { hash: string; made: number; wanted: number }) {
  const { value: held } = useLoad(async (signal) => (may("admin") ? get<Held>(`/network/objects/${hash}`, signal) : null), [hash, made]);
  const own = held?.objects.find((object) => object.own);
  return (
    <Section title={t("shares.copies")} level={3}>
      <p>{t("shares.copiesOf", { made, wanted })} {made < wanted && <span class="quiet-text">{t("shares.copiesWait")}</span>}</p>
      {own && <CopiesPicture object={own} />}
    </Section>
  );
}
