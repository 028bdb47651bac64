// The parts of which pages are made.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { Failure } from "../api";
import { plain, short } from "../format";
import { t } from "../i18n";
import { asFailure } from "./load";

/** A text that a stranger has written: alone in its direction, and nothing hidden. */
export function Foreign({ text }: { text: string }) {
  return <bdi class="foreign">{plain(text)}</bdi>;
}

export function Hash({ id, href }: { id: string; href?: string }) {
  const text = <bdi class="mono" title={id}>{short(id)}</bdi>;
  return href ? <a href={href}>{text}</a> : text;
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = () =>
    navigator.clipboard?.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 2000);
    });
  return (
    <button type="button" class="quiet small" onClick={copy} aria-label={`${t("act.copy")}: ${label}`}>
      {isCopied ? t("act.copied") : t("act.copy")}
    </button>
  );
}

export type Tone = "good" | "warn" | "bad" | "info" | "none";

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export function Trouble({ failure, retry }: { failure: Failure | undefined; retry?: () => void }) {
  if (!failure) return null;
  return (
    <div class="trouble" role="alert">
      <p>{failure.message}</p>
      {retry && <button type="button" class="small" onClick={retry}>{t("act.retry")}</button>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <h3>{title}</h3>
      <p>{children}</p>
    </div>
  );
}

export function Waiting() {
  return <p class="waiting" role="status">{t("word.loading")}</p>;
}

export function Section({ title, actions, children, level = 2 }: { title: string; actions?: ComponentChildren; children: ComponentChildren; level?: 2 | 3 }) {
  const id = useId();
  const Heading = `h${level}` as "h2";
  return (
    <section class="card" aria-labelledby={id}>
      <header class="card-head">
        <Heading id={id}>{title}</Heading>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

export function PageHead({ title, lead, actions }: { title: string; lead?: string; actions?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · DataMgmt Node`;
    // A screen reader reads the new page, and Tab goes on from its beginning.
    heading.current?.focus({ preventScroll: true });
  }, [title]);
  return (
    <header class="page-head">
      <div>
        <h1 tabIndex={-1} ref={heading}>{title}</h1>
        {lead && <p class="lead">{lead}</p>}
      </div>
      {actions && <div class="actions">{actions}</div>}
    </header>
  );
}

type FieldProps = { label: string; hint?: string | undefined; fault?: string | undefined; children: (props: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => JSX.Element };

export function Field({ label, hint, fault, children }: FieldProps) {
  const id = useId();
  const said = fault ?? hint;
  return (
    <div class={`field ${fault ? "faulty" : ""}`}>
      <label for={id}>{label}</label>
      {children({ id, ...(said ? { "aria-describedby": `${id}-said` } : {}), ...(fault ? { "aria-invalid": true } : {}) })}
      {said && <p id={`${id}-said`} class="hint">{said}</p>}
    </div>
  );
}

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  isNumber?: boolean;
}

/** A table; on a narrow screen each row is a card. */
export function Table<T>({ label, columns, rows, id }: { label: string; columns: Column<T>[]; rows: T[]; id: (row: T) => string }) {
  return (
    <div class="table-box"><table class="table" aria-label={label}>
      <thead>
        <tr>{columns.map(({ title, isNumber }) => <th scope="col" class={isNumber ? "number" : ""}>{title}</th>)}</tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={id(row)}>
            {columns.map(({ title, cell, isNumber }) => <td data-label={title} class={isNumber ? "number" : ""}>{cell(row)}</td>)}
          </tr>
        ))}
      </tbody>
    </table></div>
  );
}

export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

// Messages of what was done, and of what could not be.
interface Note { id: number; text: string; tone: "good" | "bad" }
const notes = signal<Note[]>([]);
let nextNote = 0;

export function say(text: string, tone: Note["tone"] = "good") {
  const id = nextNote++;
  notes.value = [...notes.value, { id, text, tone }];
  setTimeout(() => dismiss(id), tone === "good" ? 5000 : 12000);
}

function dismiss(id: number) {
  notes.value = notes.value.filter((note) => note.id !== id);
}

export function Notes() {
  return (
    <div class="notes" role="status" aria-live="polite">
      {notes.value.map(({ id, text, tone }) => (
        <div key={id} class={`note ${tone}`}>
          <span>{text}</span>
          <button type="button" class="quiet small" onClick={() => dismiss(id)} aria-label={t("act.close")}>×</button>
        </div>
      ))}
    </div>
  );
}

/** Does something for a person, and says what came of it. */
export async function act(work: () => Promise<unknown>, done: string): Promise<boolean> {
  try {
    await work();
    say(done);
    return true;
  } catch (error) {
    say(asFailure(error).message, "bad");
    return false;
  }
}

interface Question {
  title: string;
  text: ComponentChildren;
  action: string;
  isDanger?: boolean;
  /** What has to be agreed to before the action is there. */
  consent?: string;
  run: () => void;
}
const question = signal<Question | null>(null);

/** Asks before something is done that cannot be taken back. */
export function ask(about: Question) {
  question.value = about;
}

export function QuestionDialog() {
  const about = question.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const [agrees, setAgrees] = useState(false);
  const id = useId();
  useEffect(() => {
    setAgrees(false);
    if (about) dialog.current?.showModal();
    else dialog.current?.close();
  }, [about]);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={() => (question.value = null)}>
      {about && (
        <form method="dialog" onSubmit={() => about.run()}>
          <h2 id={id}>{about.title}</h2>
          <div class="dialog-text">{about.text}</div>
          {about.consent && (
            <label class="check">
              <input type="checkbox" checked={agrees} onChange={(event) => setAgrees(event.currentTarget.checked)} />
              <span>{about.consent}</span>
            </label>
          )}
          <div class="actions end">
            <button type="button" class="quiet" onClick={() => (question.value = null)}>{t("act.cancel")}</button>
            <button class={about.isDanger ? "danger" : "primary"} disabled={!!about.consent && !agrees}>{about.action}</button>
          </div>
        </form>
      )}
    </dialog>
  );
}
