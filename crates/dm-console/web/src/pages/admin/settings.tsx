import { useState } from "preact/hooks";
import { get } from "../../api";
import { t, type Key } from "../../i18n";
import { useLoad } from "../../ui/load";
import { Badge, Empty, Foreign, Section, Table, Trouble, Waiting } from "../../ui/parts";

interface Setting {
  name: string;
  value: unknown;
  from: "default" | "command" | "file" | "environment" | "option";
  place?: string;
}

export function SettingsPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ settings: Setting[] }>("/dashboard/settings", signal), []);
  const [text, setText] = useState("");
  const [isGiven, setGiven] = useState(false);
  const wanted = text.trim().toLowerCase();
  const shown = value?.settings.filter(({ name, from }) => name.includes(wanted) && (!isGiven || from !== "default")) ?? [];
  return (
    <Section title={t("admin.settings")}>
      <p class="quiet-text">{t("settings.lead")}</p>
      <div class="filters" role="search">
        <input type="search" aria-label={t("settings.find")} placeholder={t("settings.find")} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <label class="check"><input type="checkbox" checked={isGiven} onChange={(event) => setGiven(event.currentTarget.checked)} /><span>{t("settings.given")}</span></label>
      </div>
      <Trouble failure={failure} retry={reload} />
      {!value && !failure && <Waiting />}
      {value && shown.length === 0 && <Empty title={t("list.noMatch")}>{t("list.noMatchDo")}</Empty>}
      {shown.length > 0 && (
        <Table<Setting> label={t("admin.settings")} rows={shown} id={({ name }) => name} columns={[
          { title: t("word.name"), cell: ({ name }) => <code class="break">{name}</code> },
          { title: t("settings.value"), cell: ({ value }) => <Value value={value} /> },
          { title: t("settings.from"), cell: ({ from, place }) => <><Badge tone={from === "default" ? "none" : "info"}>{t(`settings.from.${from}` as Key)}</Badge>{place && <p class="reason"><Foreign text={place} /></p>}</> },
        ]} />
      )}
    </Section>
  );
}

function Value({ value }: { value: unknown }) {
  if (value === null || value === "" || (Array.isArray(value) && value.length === 0)) return <span class="quiet-text">{t("settings.none")}</span>;
  return <code class="break"><Foreign text={Array.isArray(value) ? value.join(", ") : String(value)} /></code>;
}
