import { useEffect, useState } from "preact/hooks";
import { may, send } from "../../api";
import { contacts, loadContacts, type Contact } from "../../contacts";
import { time } from "../../format";
import { t, type Key } from "../../i18n";
import { asFailure } from "../../ui/load";
import { act, ask, Badge, Copy, Empty, Field, Foreign, Hash, Section, Table, say, type Tone } from "../../ui/parts";

const TONE: Record<Contact["trust"], Tone> = { accept: "good", ask: "info", block: "bad" };

export function ContactsPart() {
  useEffect(() => void loadContacts(), []);
  const remove = ({ name }: Contact) =>
    ask({ title: t("contacts.removeTitle", { name }), text: <p>{t("contacts.removeText")}</p>, action: t("act.remove"), isDanger: true, run: () => act(() => send("DELETE", `/contacts/${encodeURIComponent(name)}`), t("contacts.removed")).then(loadContacts) });
  return (
    <>
      <Section title={t("admin.contacts")}>
        {contacts.value.length === 0 && <Empty title={t("contacts.none")}>{t("contacts.noneDo")}</Empty>}
        {contacts.value.length > 0 && (
          <Table<Contact> label={t("admin.contacts")} rows={contacts.value} id={({ name }) => name} columns={[
            { title: t("word.name"), cell: ({ name, note }) => <><strong><bdi>{name}</bdi></strong>{note && <p class="reason"><Foreign text={note} /></p>}</> },
            { title: t("contacts.address"), cell: ({ address }) => <><Hash id={address} /> <Copy text={address} label={t("contacts.address")} /></> },
            { title: t("contacts.trust"), cell: ({ trust, changed }) => <><Badge tone={TONE[trust]}>{t(`trust.${trust}` as Key)}</Badge>{changed && <p class="reason">{t("contacts.changed", { time: time(changed.at) })}</p>}</> },
            { title: t("contacts.added"), cell: ({ added_at }) => time(added_at) },
            { title: t("word.actions"), cell: (contact) => may("admin") && <button type="button" class="quiet small" onClick={() => remove(contact)}>{t("act.remove")}</button> },
          ]} />
        )}
      </Section>
      {may("admin") && <AddContact />}
    </>
  );
}

function AddContact() {
  const [values, setValues] = useState({ name: "", address: "", trust: "accept", note: "" });
  const [fault, setFault] = useState<{ field: string; text: string }>();
  const set = (part: Partial<typeof values>) => setValues({ ...values, ...part });
  const said = (field: string) => (fault?.field === field ? fault.text : undefined);
  const submit = async (event: Event) => {
    event.preventDefault();
    const { name, note, ...rest } = values;
    try {
      await send("PUT", `/contacts/${encodeURIComponent(name.trim())}`, { ...rest, ...(note ? { note } : {}) });
      setFault(undefined);
      setValues({ name: "", address: "", trust: "accept", note: "" });
      say(t("contacts.saved", { name }));
      await loadContacts();
    } catch (error) {
      const { field, message } = asFailure(error);
      setFault({ field: field ?? "name", text: message });
    }
  };
  return (
    <Section title={t("contacts.add")}>
      <form class="form grid" onSubmit={submit}>
        <Field label={t("word.name")} fault={said("name")}>{(props) => <input {...props} required value={values.name} onInput={(event) => set({ name: event.currentTarget.value })} />}</Field>
        <Field label={t("contacts.address")} fault={said("address")}>{(props) => <input {...props} required class="mono" placeholder="0x" spellcheck={false} value={values.address} onInput={(event) => set({ address: event.currentTarget.value })} />}</Field>
        <Field label={t("contacts.trust")} fault={said("trust")}>{(props) => <select {...props} value={values.trust} onChange={(event) => set({ trust: event.currentTarget.value })}>{(["accept", "ask", "block"] as const).map((trust) => <option value={trust}>{t(`trust.${trust}`)}</option>)}</select>}</Field>
        <Field label={t("contacts.note")} fault={said("note")}>{(props) => <input {...props} dir="auto" value={values.note} onInput={(event) => set({ note: event.currentTarget.value })} />}</Field>
        <div class="actions"><button class="primary">{t("act.save")}</button></div>
      </form>
    </Section>
  );
}
