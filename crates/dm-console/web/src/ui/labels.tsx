// The labels of data.
import { Foreign } from "./parts";
import { t } from "../i18n";

export function LabelList({ labels }: { labels: Record<string, string> }) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return null;
  return (
    <ul class="chips" aria-label={t("share.labels")}>
      {entries.map(([key, value]) => <li class="chip"><span><Foreign text={key} />: <Foreign text={value} /></span></li>)}
    </ul>
  );
}
