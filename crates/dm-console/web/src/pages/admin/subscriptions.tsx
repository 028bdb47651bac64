import { useState } from "preact/hooks";
import { get, query, send } from "../../api";
import { time } from "../../format";
import { t, type Key } from "../../i18n";
import { asFailure, useLoad } from "../../ui/load";
import { act, ask, Badge, Copy, Empty, Field, Foreign, Section, Table, Trouble, Waiting, type Tone } from "../../ui/parts";

interface Subscription {
  id: string;
  name: string;
  url: string;
  topics: string[];
  state: "active" | "paused" | "ended";
  failed_attempts: number;
  next_try: number | null;
  last_error: string | null;
  missed: number;
}

interface Delivery {
  event: string;
  topic: string;
  attempts: number;
  failed_at: number;
  reason: string;
}

const TONE: Record<Subscription["state"], Tone> = { active: "good", paused: "info", ended: "none" };

export function SubscriptionsPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ subscriptions: Subscription[] }>("/subscriptions", signal), [], [], 5000);
  return (
    <>
      <Section title={t("admin.subscriptions")}>
        <p class="quiet-text">{t("subs.lead")}</p>
        <Trouble failure={failure} retry={reload} />
        {!value && !failure && <Waiting />}
        {value?.subscriptions.length === 0 && <Empty title={t("subs.none")}>{t("subs.noneDo")}</Empty>}
      </Section>
      {value?.subscriptions.map((subscription) => <One key={subscription.id} subscription={subscription} reload={reload} />)}
      <AddSubscription done={reload} />
    </>
  );
}

function One({ subscription, reload }: { subscription: Subscription; reload: () => void }) {
  const { id, name, url, topics, state, failed_attempts, next_try, last_error, missed } = subscription;
  const { value, reload: again } = useLoad((signal) => get<{ deliveries: Delivery[] }>(`/subscriptions/${id}/deliveries${query({ state: "failed", limit: 100 })}`, signal), [id, failed_attempts], [], 10_000);
  const pause = (paused: boolean) => act(() => send("PATCH", `/subscriptions/${id}`, { paused }), t(paused ? "subs.paused" : "subs.resumed")).then(reload);
  const replay = (cursor: string) => act(() => send("POST", `/subscriptions/${id}/replay`, { cursor }), t("subs.replayed")).then(() => { reload(); again(); });
  const remove = () => ask({ title: t("subs.removeTitle", { name }), text: <p>{t("subs.removeText")}</p>, action: t("act.remove"), isDanger: true, run: () => act(() => send("DELETE", `/subscriptions/${id}`), t("subs.removed")).then(reload) });
  const failed = value?.deliveries ?? [];
  return (
    <Section level={3} title={name} actions={<>
      <Badge tone={failed_attempts ? "warn" : TONE[state]}>{t(`subs.state.${state}` as Key)}</Badge>
      {state !== "ended" && <button type="button" class="small" onClick={() => pause(state === "active")}>{t(state === "active" ? "act.pause" : "act.continue")}</button>}
      <button type="button" class="quiet small" onClick={remove}>{t("act.remove")}</button>
    </>}>
      <p class="mono break"><Foreign text={url} /></p>
      <p class="quiet-text">{topics.length ? topics.join(", ") : t("subs.allTopics")}</p>
      {failed_attempts > 0 && <p class="fault">{t("subs.failing", { count: failed_attempts })} {last_error && <><Foreign text={last_error} />.</>} {next_try && t("money.nextTry", { time: time(next_try) })}</p>}
      {missed > 0 && <p class="fault">{t("live.missed", { count: missed })}</p>}
      {failed.length > 0 && (
        <Table<Delivery> label={t("subs.failed")} rows={failed} id={({ event }) => event} columns={[
          { title: t("subs.event"), cell: ({ topic }) => topic },
          { title: t("word.time"), cell: ({ failed_at }) => time(failed_at) },
          { title: t("subs.reason"), cell: ({ reason, attempts }) => <><Foreign text={reason} /><p class="reason">{t("subs.attempts", { count: attempts })}</p></> },
          { title: t("word.actions"), cell: ({ event }) => <button type="button" class="small" onClick={() => replay(before(event))}>{t("subs.replayFrom")}</button> },
        ]} />
      )}
    </Section>
  );
}

/** The place before an event of the journal. */
function before(event: string): string {
  const [journal, position] = event.split("-");
  return `${journal}-${Math.max(0, Number(position) - 1)}`;
}

function AddSubscription({ done }: { done: () => void }) {
  const [name, setName] = useState("");
  const [url, setUrl] = useState("");
  const [topics, setTopics] = useState("");
  const [made, setMade] = useState<string>();
  const [fault, setFault] = useState<{ field: string; text: string }>();
  const said = (field: string) => (fault?.field === field ? fault.text : undefined);
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      const list = topics.split(",").map((topic) => topic.trim()).filter(Boolean);
      const subscription = await send<{ secret: string }>("POST", "/subscriptions", { name, url, topics: list });
      setMade(subscription.secret);
      setFault(undefined);
      setName("");
      setUrl("");
      done();
    } catch (error) {
      const { field, message } = asFailure(error);
      setFault({ field: field ?? "url", text: message });
    }
  };
  return (
    <Section title={t("subs.add")}>
      <form class="form grid" onSubmit={submit}>
        <Field label={t("word.name")} fault={said("name")}>{(props) => <input {...props} required value={name} onInput={(event) => setName(event.currentTarget.value)} />}</Field>
        <Field label={t("subs.url")} fault={said("url")}>{(props) => <input {...props} type="url" required placeholder="https://" value={url} onInput={(event) => setUrl(event.currentTarget.value)} />}</Field>
        <Field label={t("subs.topics")} hint={t("subs.topicsHint")} fault={said("topics")}>{(props) => <input {...props} placeholder="data.*, share.anchored" value={topics} onInput={(event) => setTopics(event.currentTarget.value)} />}</Field>
        <div class="actions"><button class="primary">{t("act.add")}</button></div>
      </form>
      {made && <div class="secret" role="status"><p>{t("subs.once")}</p><p><code class="break">{made}</code> <Copy text={made} label={t("subs.once")} /></p></div>}
    </Section>
  );
}
