import { useState } from "preact/hooks";
import { get, query, send } from "../../api";
import { time } from "../../format";
import { t } from "../../i18n";
import { asFailure, useLoad } from "../../ui/load";
import { act, ask, Empty, Field, Foreign, Hash, Section, Table, Trouble, Waiting } from "../../ui/parts";

interface User {
  user_id: string;
  kind: string;
  fingerprint: string;
  added_at: number;
}

export function UsersPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ users: User[] }>(`/users${query({ limit: 1000 })}`, signal), []);
  const remove = ({ user_id }: User) =>
    ask({ title: t("users.removeTitle", { name: user_id }), text: <p>{t("users.removeText")}</p>, action: t("act.remove"), isDanger: true, run: () => act(() => send("DELETE", `/users/${encodeURIComponent(user_id)}`), t("users.removed")).then(reload) });
  return (
    <>
      <Section title={t("admin.users")}>
        <p class="quiet-text">{t("users.lead")}</p>
        <Trouble failure={failure} retry={reload} />
        {!value && !failure && <Waiting />}
        {value?.users.length === 0 && <Empty title={t("users.none")}>{t("users.noneDo")}</Empty>}
        {value && value.users.length > 0 && (
          <Table<User> label={t("admin.users")} rows={value.users} id={({ user_id }) => user_id} columns={[
            { title: t("word.name"), cell: ({ user_id }) => <strong><Foreign text={user_id} /></strong> },
            { title: t("users.key"), cell: ({ kind, fingerprint }) => <>{kind} <Hash id={fingerprint} /></> },
            { title: t("contacts.added"), cell: ({ added_at }) => time(added_at) },
            { title: t("word.actions"), cell: (user) => <button type="button" class="quiet small" onClick={() => remove(user)}>{t("act.remove")}</button> },
          ]} />
        )}
      </Section>
      <AddUser done={reload} />
    </>
  );
}

function AddUser({ done }: { done: () => void }) {
  const [user_id, setId] = useState("");
  const [public_key, setKey] = useState("");
  const [fault, setFault] = useState<{ field: string; text: string }>();
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await send("POST", "/users", { user_id, public_key });
      setFault(undefined);
      setId("");
      setKey("");
      done();
    } catch (error) {
      const { field, message } = asFailure(error);
      setFault({ field: field ?? "user_id", text: message });
    }
  };
  return (
    <Section title={t("users.add")}>
      <form class="form" onSubmit={submit}>
        <Field label={t("word.name")} fault={fault?.field === "user_id" ? fault.text : undefined}>{(props) => <input {...props} required value={user_id} onInput={(event) => setId(event.currentTarget.value)} />}</Field>
        <Field label={t("users.publicKey")} hint={t("users.publicKeyHint")} fault={fault?.field === "public_key" ? fault.text : undefined}>{(props) => <textarea {...props} required rows={5} class="mono" spellcheck={false} value={public_key} onInput={(event) => setKey(event.currentTarget.value)} />}</Field>
        <button class="primary">{t("act.add")}</button>
      </form>
    </Section>
  );
}
