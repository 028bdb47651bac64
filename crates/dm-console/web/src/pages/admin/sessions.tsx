import { get, send, session } from "../../api";
import { time } from "../../format";
import { t } from "../../i18n";
import { useLoad } from "../../ui/load";
import { act, ask, Empty, Foreign, Section, Table, Trouble, Waiting } from "../../ui/parts";

interface SignedIn {
  id: string;
  key_id: string | null;
  person: { subject: string; name: string } | null;
  opened_at: number;
  used_at: number;
  ends_at: number;
}

export function SessionsPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ sessions: SignedIn[] }>("/sessions", signal), [], ["person."]);
  const end = ({ id, person, key_id }: SignedIn) =>
    ask({ title: t("sessions.endTitle", { name: person?.name ?? key_id ?? "" }), text: <p>{t("sessions.endText")}</p>, action: t("sessions.end"), isDanger: true, run: () => act(() => send("DELETE", `/sessions/${encodeURIComponent(id)}`), t("sessions.ended")).then(reload) });
  return (
    <Section title={t("admin.sessions")}>
      <p class="quiet-text">{t("sessions.lead")}</p>
      <Trouble failure={failure} retry={reload} />
      {!value && !failure && <Waiting />}
      {value?.sessions.length === 0 && <Empty title={t("sessions.none")}>{t("sessions.noneDo")}</Empty>}
      {value && value.sessions.length > 0 && (
        <Table<SignedIn> label={t("admin.sessions")} rows={value.sessions} id={({ id }) => id} columns={[
          { title: t("word.name"), cell: (row) => <Who {...row} /> },
          { title: t("sessions.opened"), cell: ({ opened_at }) => time(opened_at) },
          { title: t("keys.used"), cell: ({ used_at }) => time(used_at) },
          { title: t("sessions.ends"), cell: ({ ends_at }) => time(ends_at) },
          { title: t("word.actions"), cell: (row) => <button type="button" class="quiet small" onClick={() => end(row)}>{t("sessions.end")}</button> },
        ]} />
      )}
    </Section>
  );
}

function Who({ person, key_id }: SignedIn) {
  if (person) return <><strong><Foreign text={person.name} /></strong><p class="reason mono"><Foreign text={person.subject} /></p></>;
  return <>{t("signIn.key")}<p class="reason mono">{key_id}{key_id === session.value?.key_id && ` (${t("keys.this")})`}</p></>;
}
