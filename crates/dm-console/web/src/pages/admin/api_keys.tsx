import { useState } from "preact/hooks";
import { get, send, session } from "../../api";
import { bytes, time } from "../../format";
import { t, type Key } from "../../i18n";
import { asFailure, useLoad } from "../../ui/load";
import { act, ask, Badge, Copy, Field, Foreign, Section, Table, Trouble, Waiting } from "../../ui/parts";

interface ApiKey {
  id: string;
  name: string;
  scopes: string[];
  bytes_budget: number | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  bytes_used: number;
  last_used_at: number | null;
}

const SCOPES = ["read", "share", "admin"] as const;
const DAY_MS = 24 * 60 * 60 * 1000;

export function ApiKeysPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ api_keys: ApiKey[] }>("/api_keys", signal), []);
  const revoke = ({ id, name }: ApiKey) =>
    ask({ title: t("keys.revokeTitle", { name }), text: <p>{t(id === session.value?.key_id ? "keys.revokeOwn" : "keys.revokeText")}</p>, action: t("shares.revoke"), isDanger: true, run: () => act(() => send("DELETE", `/api_keys/${id}`), t("keys.revoked")).then(reload) });
  return (
    <>
      <AddKey done={reload} />
      <Section title={t("admin.api_keys")}>
        <Trouble failure={failure} retry={reload} />
        {!value && !failure && <Waiting />}
        {value && (
          <Table<ApiKey> label={t("admin.api_keys")} rows={value.api_keys} id={({ id }) => id} columns={[
            { title: t("word.name"), cell: ({ id, name }) => <><strong><Foreign text={name} /></strong> {id === session.value?.key_id && <Badge tone="info">{t("keys.this")}</Badge>}<p class="reason mono">{id}</p></> },
            { title: t("keys.scopes"), cell: ({ scopes }) => scopes.join(", ") },
            { title: t("word.state"), cell: (key) => <KeyState apiKey={key} /> },
            { title: t("keys.used"), cell: ({ last_used_at, bytes_used, bytes_budget }) => <>{last_used_at ? time(last_used_at) : t("word.never")}<p class="reason">{bytes(bytes_used)}{bytes_budget !== null && ` / ${bytes(bytes_budget)}`}</p></> },
            { title: t("word.actions"), cell: (key) => key.revoked_at === null && <button type="button" class="quiet small" onClick={() => revoke(key)}>{t("shares.revoke")}</button> },
          ]} />
        )}
      </Section>
    </>
  );
}

function KeyState({ apiKey: { revoked_at, expires_at } }: { apiKey: ApiKey }) {
  if (revoked_at !== null) return <><Badge tone="bad">{t("keys.state.revoked")}</Badge><p class="reason">{time(revoked_at)}</p></>;
  if (expires_at !== null && expires_at <= Date.now()) return <Badge tone="warn">{t("keys.state.expired")}</Badge>;
  return <><Badge tone="good">{t("keys.state.valid")}</Badge>{expires_at !== null && <p class="reason">{t("keys.until", { time: time(expires_at) })}</p>}</>;
}

function AddKey({ done }: { done: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>(["read"]);
  const [days, setDays] = useState("90");
  const [made, setMade] = useState<string>();
  const [fault, setFault] = useState<string>();
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      const expires_at = days ? new Date(Date.now() + Number(days) * DAY_MS).toISOString() : undefined;
      const key = await send<{ key: string }>("POST", "/api_keys", { name, scopes, expires_at });
      setMade(key.key);
      setFault(undefined);
      setName("");
      done();
    } catch (error) {
      setFault(asFailure(error).message);
    }
  };
  return (
    <Section title={t("keys.add")}>
      <form class="form grid" onSubmit={submit}>
        <Field label={t("word.name")} fault={fault}>{(props) => <input {...props} required value={name} onInput={(event) => setName(event.currentTarget.value)} />}</Field>
        <Field label={t("keys.expires")}>{(props) => <select {...props} value={days} onChange={(event) => setDays(event.currentTarget.value)}>{["1", "30", "90", "365"].map((count) => <option value={count}>{t("keys.days", { count })}</option>)}<option value="">{t("word.never")}</option></select>}</Field>
        <fieldset class="field wide">
          <legend>{t("keys.scopes")}</legend>
          {SCOPES.map((scope) => (
            <label class="check"><input type="checkbox" checked={scopes.includes(scope)} onChange={(event) => setScopes(event.currentTarget.checked ? [...scopes, scope] : scopes.filter((other) => other !== scope))} /><span><strong>{scope}</strong> {t(`keys.scope.${scope}` as Key)}</span></label>
          ))}
        </fieldset>
        <div class="actions"><button class="primary" disabled={scopes.length === 0}>{t("keys.make")}</button></div>
      </form>
      {made && <div class="secret" role="status"><p>{t("keys.once")}</p><p><code class="break">{made}</code> <Copy text={made} label={t("admin.api_keys")} /></p></div>}
    </Section>
  );
}
