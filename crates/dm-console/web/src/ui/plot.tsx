// A line over time, as a picture and as a sentence.
import { number } from "../format";
import { t } from "../i18n";

const WIDTH = 240;
const HEIGHT = 56;

export function Plot({ values, label, write = (value) => number(value, 1), floor = 0 }: { values: number[]; label: string; write?: (value: number) => string; floor?: number }) {
  const most = Math.max(floor, ...values, 0) || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(HEIGHT - 2 - (value / most) * (HEIGHT - 6)).toFixed(1)}`);
  const now = values.at(-1) ?? 0;
  return (
    <svg class="plot" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={t("plot.says", { label, now: write(now), most: write(Math.max(...values, 0)) })}>
      {points.length > 1 && <polygon points={`0,${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`} />}
      {points.length > 1 && <polyline points={points.join(" ")} />}
    </svg>
  );
}
