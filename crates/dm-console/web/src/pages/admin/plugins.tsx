import { get, send } from "../../api";
import { t, type Key } from "../../i18n";
import { useLoad } from "../../ui/load";
import { act, Badge, Empty, Foreign, Section, Table, Trouble, Waiting, type Tone } from "../../ui/parts";

interface Plugin {
  name: string;
  version: string | null;
  hooks: string[];
  state: "starting" | "running" | "failed" | "disabled";
  required: boolean;
  failures: number;
  last_error: string | null;
}

const TONE: Record<Plugin["state"], Tone> = { starting: "info", running: "good", failed: "bad", disabled: "none" };

export function PluginsPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ plugins: Plugin[] }>("/plugins", signal), [], [], 5000);
  const order = (name: string, what: "enable" | "disable" | "reload") => act(() => send("POST", `/plugins/${encodeURIComponent(name)}/${what}`), t("plugins.done", { name })).then(reload);
  return (
    <Section title={t("admin.plugins")}>
      <Trouble failure={failure} retry={reload} />
      {!value && !failure && <Waiting />}
      {value?.plugins.length === 0 && <Empty title={t("plugins.none")}>{t("plugins.noneDo")}</Empty>}
      {value && value.plugins.length > 0 && (
        <Table<Plugin> label={t("admin.plugins")} rows={value.plugins} id={({ name }) => name} columns={[
          { title: t("word.name"), cell: ({ name, version }) => <><strong><Foreign text={name} /></strong> <span class="quiet-text">{version}</span></> },
          { title: t("word.state"), cell: ({ state, last_error }) => <><Badge tone={TONE[state]}>{t(`plugins.state.${state}` as Key)}</Badge>{last_error && <p class="reason"><Foreign text={last_error} /></p>}</> },
          { title: t("plugins.hooks"), cell: ({ hooks }) => hooks.join(", ") || "–" },
          { title: t("word.actions"), cell: ({ name, state }) => <div class="actions"><button type="button" class="small" onClick={() => order(name, state === "disabled" ? "enable" : "disable")}>{t(state === "disabled" ? "plugins.enable" : "plugins.disable")}</button><button type="button" class="quiet small" onClick={() => order(name, "reload")}>{t("plugins.reload")}</button></div> },
        ]} />
      )}
    </Section>
  );
}
