// Who may do what, and how the node is set up. One file for each part.
import { useEffect, useRef } from "preact/hooks";
import { may } from "../api";
import { t, type Key } from "../i18n";
import { Empty, PageHead } from "../ui/parts";
import { ContactsPart } from "./admin/contacts";
import { ApiKeysPart } from "./admin/api_keys";
import { SessionsPart } from "./admin/sessions";
import { UsersPart } from "./admin/users";
import { SubscriptionsPart } from "./admin/subscriptions";
import { PluginsPart } from "./admin/plugins";
import { KeysPart } from "./admin/keys";
import { InstancesPart } from "./admin/instances";
import { SettingsPart } from "./admin/settings";

const PARTS = { contacts: ContactsPart, api_keys: ApiKeysPart, sessions: SessionsPart, users: UsersPart, subscriptions: SubscriptionsPart, plugins: PluginsPart, keys: KeysPart, instances: InstancesPart, settings: SettingsPart };

export function AdminPage({ part }: { part: string | undefined }) {
  const name = part && part in PARTS ? (part as keyof typeof PARTS) : "contacts";
  const Part = PARTS[name];
  const tabs = useRef<HTMLElement>(null);
  useEffect(() => tabs.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [name]);
  return (
    <>
      <PageHead title={t("nav.admin")} lead={t("admin.lead")} />
      <nav class="tabs" ref={tabs} aria-label={t("nav.admin")}>
        {Object.keys(PARTS).map((key) => <a href={`#/admin/${key}`} aria-current={key === name ? "page" : undefined}>{t(`admin.${key}` as Key)}</a>)}
      </nav>
      {may("admin") || name === "contacts" ? <Part /> : <Empty title={t("error.noScope")}>{t("error.noScopeDo", { scope: "admin" })}</Empty>}
    </>
  );
}
