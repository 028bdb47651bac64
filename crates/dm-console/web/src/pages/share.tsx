// Shares files.
import { useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { get, may } from "../api";
import { contacts } from "../contacts";
import { bytes, smallest } from "../format";
import { t } from "../i18n";
import { giveUp, upload, type Outcome, type Terms } from "../upload";
import { asFailure, useLoad } from "../ui/load";
import { Badge, Empty, Field, Foreign, PageHead, Section } from "../ui/parts";

export interface Token {
  address: string;
  symbol: string;
  name: string;
  decimals: number;
  type: "native" | "erc20";
}

interface Job {
  id: number;
  file: File;
  terms: Terms;
  offset: number;
  state: "sending" | "waiting" | "sharing" | "paused" | "done" | "failed";
  outcomes: Outcome[];
  error?: string;
  stop?: AbortController;
}

// They go on while the person looks at another page.
const jobs = signal<Job[]>([]);
let nextJob = 0;

function change(id: number, values: Partial<Job>) {
  jobs.value = jobs.value.map((job) => (job.id === id ? { ...job, ...values } : job));
}

async function run(id: number) {
  const { file, terms } = jobs.value.find((job) => job.id === id)!;
  const stop = new AbortController();
  change(id, { stop, state: "sending", error: "" });
  try {
    const outcomes = await upload(file, terms, (offset, state) => change(id, { offset, state }), stop.signal);
    change(id, { outcomes, state: "done", offset: file.size });
  } catch (error) {
    if (stop.signal.aborted) change(id, { state: "paused" });
    else change(id, { state: "failed", error: asFailure(error).message });
  }
}

export function unfinished(): boolean {
  return jobs.value.some(({ state }) => state === "sending" || state === "waiting" || state === "sharing");
}

export function SharePage() {
  if (!may("share")) return <><PageHead title={t("nav.share")} /><Empty title={t("error.noScope")}>{t("error.noScopeDo", { scope: "share" })}</Empty></>;
  return (
    <>
      <PageHead title={t("nav.share")} lead={t("share.lead")} />
      <div class="columns share-columns">
        <ShareForm />
        <Jobs />
      </div>
    </>
  );
}

function ShareForm() {
  const [files, setFiles] = useState<File[]>([]);
  const [recipients, setRecipients] = useState<string[]>([]);
  const [name, setName] = useState("");
  const [labels, setLabels] = useState<[string, string][]>([]);
  const [expires, setExpires] = useState("");
  const [token, setToken] = useState("");
  const [price, setPrice] = useState("");
  const [faults, setFaults] = useState<Record<string, string>>({});
  const { value: known } = useLoad((signal) => get<{ tokens: Token[] }>("/tokens", signal), []);
  const submit = (event: Event) => {
    event.preventDefault();
    const found: Record<string, string> = {};
    if (files.length === 0) found.files = t("share.needFile");
    if (recipients.length === 0) found.recipients = t("share.needRecipient");
    const chosen = known?.tokens.find(({ address }) => address === token);
    const amount = chosen && price ? smallest(price, chosen.decimals) : "";
    if (amount === null || (chosen && !price) || (price && !chosen)) found.price = t("error.amount");
    if (expires && new Date(expires).getTime() <= Date.now()) found.expires = t("share.pastExpiry");
    setFaults(found);
    if (Object.keys(found).length) return;
    for (const file of files) {
      const terms = {
        recipients,
        name: (files.length === 1 && name) || file.name,
        media_type: file.type || "application/octet-stream",
        labels: Object.fromEntries(labels.filter(([key]) => key)),
        expires_at: expires ? new Date(expires).toISOString() : "",
        payment_token: amount ? token : "",
        payment_amount: amount ?? "",
      };
      const job: Job = { id: nextJob++, file, terms, offset: 0, state: "sending", outcomes: [] };
      jobs.value = [job, ...jobs.value];
      run(job.id);
    }
    setFiles([]);
    setName("");
  };
  return (
    <form class="card form" onSubmit={submit} noValidate>
      <DropZone files={files} choose={(chosen) => { setFiles(chosen); if (chosen.length === 1) setName(chosen[0]!.name); }} fault={faults.files} />
      <Recipients chosen={recipients} choose={setRecipients} fault={faults.recipients} />
      {files.length <= 1 && (
        <Field label={t("share.name")} hint={t("share.nameHint")}>
          {(props) => <input {...props} dir="auto" maxLength={255} value={name} onInput={(event) => setName(event.currentTarget.value)} />}
        </Field>
      )}
      <Labels labels={labels} change={setLabels} />
      <Field label={t("share.expires")} hint={t("share.expiresHint")} fault={faults.expires}>
        {(props) => <input {...props} type="datetime-local" value={expires} onInput={(event) => setExpires(event.currentTarget.value)} />}
      </Field>
      <fieldset class="field">
        <legend>{t("share.price")}</legend>
        <div class="row">
          <input aria-label={t("share.priceAmount")} inputMode="decimal" placeholder="0" value={price} aria-invalid={!!faults.price} onInput={(event) => setPrice(event.currentTarget.value)} />
          <select aria-label={t("share.priceToken")} value={token} onChange={(event) => setToken(event.currentTarget.value)}>
            <option value="">{t("share.free")}</option>
            {known?.tokens.filter(({ type }) => type === "erc20").map(({ address, symbol }) => <option value={address}>{symbol}</option>)}
          </select>
        </div>
        <p class="hint">{faults.price ?? t("share.priceHint")}</p>
      </fieldset>
      <button class="primary large">{t("share.send")}</button>
    </form>
  );
}

function DropZone({ files, choose, fault }: { files: File[]; choose: (files: File[]) => void; fault: string | undefined }) {
  const [isOver, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    choose([...(event.dataTransfer?.files ?? [])]);
  };
  return (
    <div class={`field ${fault ? "faulty" : ""}`}>
      <label class={`drop ${isOver ? "over" : ""}`} onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)} onDrop={drop}>
        <input ref={input} type="file" multiple aria-invalid={!!fault} onChange={(event) => choose([...(event.currentTarget.files ?? [])])} />
        <span class="drop-mark" aria-hidden="true">↑</span>
        {files.length === 0 && <><strong>{t("share.drop")}</strong><span class="quiet-text">{t("share.dropOr")}</span></>}
        {files.map((file) => <span class="drop-file"><Foreign text={file.name} /> <span class="quiet-text">{bytes(file.size)}</span></span>)}
      </label>
      {fault && <p class="hint" role="alert">{fault}</p>}
    </div>
  );
}

function Recipients({ chosen, choose, fault }: { chosen: string[]; choose: (recipients: string[]) => void; fault: string | undefined }) {
  const [text, setText] = useState("");
  const [isWrong, setWrong] = useState(false);
  const add = (one: string) => {
    const party = one.trim();
    if (!party) return;
    const isKnown = contacts.value.some(({ name }) => name === party);
    if (!isKnown && !/^0x[0-9a-fA-F]{40}$/.test(party)) return setWrong(true);
    setWrong(false);
    setText("");
    if (!chosen.includes(party)) choose([...chosen, party]);
  };
  const said = isWrong ? t("share.wrongRecipient") : fault;
  const others = contacts.value.filter(({ name }) => !chosen.includes(name)).slice(0, 8);
  return (
    <div>
      <Field label={t("share.to")} hint={t("share.toHint")} fault={said}>
        {(props) => (
          <div class="row">
            <input {...props} list="contacts" autocomplete="off" spellcheck={false} value={text}
              onInput={(event) => setText(event.currentTarget.value)}
              onKeyDown={(event) => { if (event.key === "Enter" || event.key === ",") { event.preventDefault(); add(text); } }}
              onBlur={() => text && add(text)} />
            <button type="button" onClick={() => add(text)}>{t("act.add")}</button>
          </div>
        )}
      </Field>
      <datalist id="contacts">{contacts.value.map(({ name, note }) => <option value={name}>{note ?? ""}</option>)}</datalist>
      <ul class="chips" aria-label={t("share.to")}>
        {chosen.map((party) => (
          <li key={party} class="chip chosen">
            <bdi>{party}</bdi>
            <button type="button" class="quiet small" aria-label={`${t("act.remove")}: ${party}`} onClick={() => choose(chosen.filter((other) => other !== party))}>×</button>
          </li>
        ))}
        {others.map(({ name }) => (
          <li key={name}><button type="button" class="chip" onClick={() => add(name)} aria-label={`${t("act.add")}: ${name}`}>+ <bdi>{name}</bdi></button></li>
        ))}
      </ul>
    </div>
  );
}

function Labels({ labels, change }: { labels: [string, string][]; change: (labels: [string, string][]) => void }) {
  const set = (index: number, pair: [string, string]) => change(labels.map((old, place) => (place === index ? pair : old)));
  return (
    <fieldset class="field">
      <legend>{t("share.labels")}</legend>
      {labels.map(([key, value], index) => (
        <div class="row">
          <input aria-label={t("share.labelKey")} placeholder={t("share.labelKey")} maxLength={64} value={key} onInput={(event) => set(index, [event.currentTarget.value, value])} />
          <input aria-label={t("share.labelValue")} placeholder={t("share.labelValue")} maxLength={256} dir="auto" value={value} onInput={(event) => set(index, [key, event.currentTarget.value])} />
          <button type="button" class="quiet" aria-label={t("act.remove")} onClick={() => change(labels.filter((_, place) => place !== index))}>×</button>
        </div>
      ))}
      <button type="button" class="quiet small" onClick={() => change([...labels, ["", ""]])} disabled={labels.length >= 32}>+ {t("share.addLabel")}</button>
    </fieldset>
  );
}

function Jobs() {
  return (
    <Section title={t("share.under")}>
      {jobs.value.length === 0 && <Empty title={t("share.nothing")}>{t("share.nothingDo")}</Empty>}
      <ul class="jobs">{jobs.value.map((job) => <JobLine key={job.id} job={job} />)}</ul>
    </Section>
  );
}

function JobLine({ job }: { job: Job }) {
  const share = job.file.size ? Math.round((100 * job.offset) / job.file.size) : 100;
  const isOpen = job.state === "sending" || job.state === "waiting" || job.state === "sharing";
  const remove = () => {
    job.stop?.abort();
    if (job.state !== "done") giveUp(job.file, job.terms);
    jobs.value = jobs.value.filter(({ id }) => id !== job.id);
  };
  return (
    <li>
      <p class="job-name"><Foreign text={job.terms.name} /> <span class="quiet-text">{bytes(job.file.size)}</span></p>
      {job.state !== "done" && job.state !== "failed" && (
        <>
          <progress max={100} value={share} aria-label={job.terms.name} />
          <p class="quiet-text" role="status">{t(`share.state.${job.state}`, { share, offset: bytes(job.offset) })}</p>
        </>
      )}
      {job.error && <p class="fault" role="alert">{job.error}</p>}
      <ul class="outcomes">
        {job.outcomes.map((outcome) => (
          <li>
            <Badge tone={!outcome.success ? "bad" : outcome.status === "anchored" ? "good" : "info"}>{outcome.success ? t(`share.outcome.${outcome.status === "anchored" ? "anchored" : "pending"}`) : t("word.failed")}</Badge>{" "}
            <bdi class="mono">{outcome.recipient}</bdi> {outcome.error && <span class="fault">{outcome.error}</span>}
          </li>
        ))}
      </ul>
      <div class="actions">
        {isOpen && <button type="button" class="small" onClick={() => job.stop?.abort()}>{t("act.pause")}</button>}
        {(job.state === "paused" || job.state === "failed") && <button type="button" class="small" onClick={() => run(job.id)}>{t("act.continue")}</button>}
        {job.outcomes[0]?.data_hash && <a class="button small" href={`#/shares/${job.outcomes[0].data_hash}`}>{t("share.open")}</a>}
        <button type="button" class="quiet small" onClick={remove}>{t(job.state === "done" ? "act.hide" : "act.giveUp")}</button>
      </div>
    </li>
  );
}
