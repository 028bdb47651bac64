import { get, send } from "../../api";
import { number, since, time } from "../../format";
import { t } from "../../i18n";
import { useLoad } from "../../ui/load";
import { act, ask, Badge, Hash, Section, Table, Trouble, Waiting } from "../../ui/parts";

interface KeyVersion {
  version: number;
  created_at: number;
  wraps: number;
  newest: boolean;
}

interface HpkeKey {
  public_key: string;
  created_at: number;
}

export function KeysPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ versions: KeyVersion[]; hpke_keys: HpkeKey[] }>("/keys", signal), []);
  const rotate = (path: string, text: string) => ask({ title: t("dataKeys.rotateTitle"), text: <p>{text}</p>, action: t("dataKeys.rotate"), run: () => act(() => send("POST", path), t("dataKeys.rotated")).then(reload) });
  return (
    <>
      <Trouble failure={failure} retry={reload} />
      <Section title={t("dataKeys.wrapping")} actions={<button type="button" class="small" onClick={() => rotate("/keys/rotate", t("dataKeys.rotateText"))}>{t("dataKeys.rotate")}</button>}>
        <p class="quiet-text">{t("dataKeys.wrappingLead")}</p>
        {!value && !failure && <Waiting />}
        {value && (
          <Table<KeyVersion> label={t("dataKeys.wrapping")} rows={value.versions} id={({ version }) => String(version)} columns={[
            { title: t("dataKeys.version"), cell: ({ version, newest }) => <>{version} {newest && <Badge tone="good">{t("dataKeys.newest")}</Badge>}</> },
            { title: t("dataKeys.age"), cell: ({ created_at }) => <>{since(created_at)}<p class="reason">{time(created_at)}</p></> },
            { title: t("dataKeys.wraps"), isNumber: true, cell: ({ wraps }) => number(wraps) },
          ]} />
        )}
      </Section>
      <Section title={t("dataKeys.receiving")} actions={<button type="button" class="small" onClick={() => rotate("/keys/hpke/rotate", t("dataKeys.rotateReceivingText"))}>{t("dataKeys.rotate")}</button>}>
        <p class="quiet-text">{t("dataKeys.receivingLead")}</p>
        {value && (
          <Table<HpkeKey> label={t("dataKeys.receiving")} rows={value.hpke_keys} id={({ public_key }) => public_key} columns={[
            { title: t("users.publicKey"), cell: ({ public_key }) => <Hash id={public_key} /> },
            { title: t("dataKeys.age"), cell: ({ created_at }) => <>{since(created_at)}<p class="reason">{time(created_at)}</p></> },
          ]} />
        )}
      </Section>
    </>
  );
}
