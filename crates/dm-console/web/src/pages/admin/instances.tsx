import { get } from "../../api";
import { since, time } from "../../format";
import { t } from "../../i18n";
import { useLoad } from "../../ui/load";
import { Badge, Copy, Hash, Section, Table, Trouble, Waiting } from "../../ui/parts";

interface Instance {
  id: string;
  version: string;
  peer_id: string | null;
  started_at: number;
  seen_at: number;
  leader: boolean;
}

export function InstancesPart() {
  const { value, failure, reload } = useLoad((signal) => get<{ instances: Instance[]; epoch: number | null }>("/instances", signal), [], [], 5000);
  return (
    <Section title={t("admin.instances")}>
      <p class="quiet-text">{t("instances.lead")}</p>
      <Trouble failure={failure} retry={reload} />
      {!value && !failure && <Waiting />}
      {value && (
        <Table<Instance> label={t("admin.instances")} rows={value.instances} id={({ id }) => id} columns={[
          { title: t("instances.id"), cell: ({ id, leader }) => <><Hash id={id} /> {leader && <Badge tone="good">{t("instances.leader")}</Badge>}</> },
          { title: t("instances.version"), cell: ({ version }) => version },
          { title: t("instances.started"), cell: ({ started_at }) => <>{since(started_at)}<p class="reason">{time(started_at)}</p></> },
          { title: t("network.seen"), cell: ({ seen_at }) => since(seen_at) },
          { title: t("network.peer"), cell: ({ peer_id }) => (peer_id ? <><Hash id={peer_id} /> <Copy text={peer_id} label={t("network.peer")} /></> : "–") },
        ]} />
      )}
      {value?.instances.length === 1 && <p class="foot">{t("instances.alone")}</p>}
      {value?.epoch != null && <p class="foot">{t("instances.epoch", { epoch: value.epoch })}</p>}
    </Section>
  );
}
