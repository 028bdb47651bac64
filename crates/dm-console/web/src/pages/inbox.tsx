// What others have shared with this node.
import { useState } from "preact/hooks";
import { get, may, query, send } from "../api";
import { nameOf } from "../contacts";
import { bytes, short, shortTime, time } from "../format";
import { t, type Key } from "../i18n";
import { go } from "../route";
import { useLoad } from "../ui/load";
import { VirtualList } from "../ui/list";
import { usePages } from "../ui/pages";
import { act, ask, Badge, Copy, Empty, Facts, Foreign, Hash, PageHead, Section, Trouble, Waiting, type Tone } from "../ui/parts";
import { Filters, type Filter } from "../ui/filters";
import { LabelList } from "../ui/labels";
import { Preview } from "../ui/preview";

export interface Item {
  data_hash: string;
  from: string;
  contact: string | null;
  name: string | null;
  media_type: string | null;
  size: number;
  labels: Record<string, string>;
  correlation_id: string | null;
  supersedes: string | null;
  shared_at: number;
  received_at: number;
  expires_at: number | null;
  state: "new" | "fetched" | "acknowledged" | "revoked" | "erased" | "expired";
  anchored: boolean;
}

const TONE: Record<Item["state"], Tone> = { new: "info", fetched: "none", acknowledged: "good", revoked: "warn", erased: "warn", expired: "warn" };
const STATES = ["new", "fetched", "acknowledged", "revoked", "erased", "expired"];
const TOPICS = ["data.received", "data.fetched", "data.acknowledged", "data.revoked", "data.erased", "data.expired"];
const PAGE = 200;

export function InboxPage({ hash }: { hash: string | undefined }) {
  const [filter, setFilter] = useState<Filter>({});
  const pages = usePages<Item>(
    async (cursor) => {
      const { party, label, ...rest } = filter;
      const labels = label ? `&label.${encodeURIComponent(label.split("=")[0]!)}=${encodeURIComponent(label.split("=").slice(1).join("="))}` : "";
      const page = await get<{ items: Item[]; next_cursor: string | null }>(`/inbox${query({ from: party, ...rest, limit: PAGE, cursor })}${labels}`);
      return { items: page.items, next: page.next_cursor };
    },
    [JSON.stringify(filter)],
    ({ data_hash, from }) => data_hash + from,
    TOPICS,
  );
  const hasFilter = Object.values(filter).some(Boolean);
  return (
    <div class={`split ${hash ? "has-detail" : ""}`}>
      <div class="split-list">
        <PageHead title={t("nav.inbox")} lead={t("inbox.lead")} />
        <Filters states={STATES} stateText={(state) => t(`inbox.state.${state}` as Key)} party={t("inbox.from")} change={setFilter} withLabel />
        <Trouble failure={pages.failure} retry={pages.reload} />
        {pages.items.length === 0 && !pages.failure && (pages.isLoading ? <Waiting /> : <Empty title={t(hasFilter ? "list.noMatch" : "inbox.empty")}>{t(hasFilter ? "list.noMatchDo" : "inbox.emptyDo")}</Empty>)}
        <VirtualList label={t("nav.inbox")} pages={pages} height={68} id={({ data_hash, from }) => data_hash + from} row={(item) => <Row item={item} isOpen={item.data_hash === hash} />} />
      </div>
      {hash && <Detail hash={hash} gone={pages.reload} />}
    </div>
  );
}

function Row({ item, isOpen }: { item: Item; isOpen: boolean }) {
  return (
    <a class={`line ${isOpen ? "open" : ""} ${item.state === "new" ? "unread" : ""}`} href={`#/inbox/${item.data_hash}`} aria-current={isOpen ? "true" : undefined}>
      <span class="line-main"><span class="line-title"><Foreign text={item.name ?? short(item.data_hash)} /></span><span class="line-sub"><Foreign text={item.contact ?? nameOf(item.from) ?? short(item.from)} /> · {bytes(item.size)}</span></span>
      <span class="line-side"><Badge tone={TONE[item.state]}>{t(`inbox.state.${item.state}` as Key)}</Badge><time class="quiet-text" dateTime={new Date(item.received_at).toISOString()}>{shortTime(item.received_at)}</time></span>
    </a>
  );
}

function Detail({ hash, gone }: { hash: string; gone: () => void }) {
  const { value: item, failure, reload } = useLoad((signal) => get<Item>(`/inbox/${hash}`, signal), [hash], TOPICS);
  if (!item) return <div class="detail card"><a class="back" href="#/inbox">{t("act.back")}</a>{failure ? <Trouble failure={failure} retry={reload} /> : <Waiting />}</div>;
  const isThere = item.state === "new" || item.state === "fetched" || item.state === "acknowledged";
  const acknowledge = () => act(() => send("POST", `/inbox/${hash}/acknowledge`), t("inbox.acknowledged")).then(reload);
  const remove = () =>
    ask({
      title: t("inbox.removeTitle"),
      text: <p>{t("inbox.removeText")}</p>,
      action: t("act.remove"),
      isDanger: true,
      run: () => act(() => send("DELETE", `/inbox/${hash}`), t("inbox.removed")).then((done) => { if (done) { gone(); go("inbox"); } }),
    });
  return (
    <div class="detail">
      <a class="back" href="#/inbox">{t("act.back")}</a>
      <Section title={item.name ?? short(hash)} actions={<Badge tone={TONE[item.state]}>{t(`inbox.state.${item.state}` as Key)}</Badge>}>
        <div class="actions">
          {isThere && <a class="button primary" href={`/api/objects/${hash}`} download="">{t("act.download")}</a>}
          {isThere && item.state !== "acknowledged" && may("share") && <button type="button" onClick={acknowledge}>{t("inbox.acknowledge")}</button>}
          <button type="button" class="quiet" onClick={remove}>{t("act.remove")}</button>
        </div>
        {isThere && <Preview hash={hash} mediaType={item.media_type} size={item.size} name={item.name ?? hash} />}
        <Facts facts={[
          [t("inbox.from"), <><Foreign text={item.contact ?? nameOf(item.from) ?? item.from} /> <Copy text={item.from} label={t("inbox.from")} /></>],
          [t("word.size"), bytes(item.size)],
          [t("word.mediaType"), <Foreign text={item.media_type ?? "–"} />],
          [t("inbox.shared"), time(item.shared_at)],
          [t("inbox.received"), time(item.received_at)],
          [t("share.expires"), item.expires_at ? time(item.expires_at) : t("word.never")],
          [t("inbox.anchored"), t(item.anchored ? "word.yes" : "word.notYet")],
          [t("word.hash"), <><Hash id={hash} /> <Copy text={hash} label={t("word.hash")} /></>],
          ...(item.correlation_id ? [[t("word.correlation"), <Foreign text={item.correlation_id} />] as [string, preact.JSX.Element]] : []),
          ...(item.supersedes ? [[t("word.supersedes"), <Hash id={item.supersedes} href={`#/inbox/${item.supersedes}`} />] as [string, preact.JSX.Element]] : []),
        ]} />
        <LabelList labels={item.labels} />
      </Section>
    </div>
  );
}
