// A line over time, as a picture and as a sentence.
import { number, shortTime } from "../format";
import { t } from "../i18n";

const WIDTH = 240;
const HEIGHT = 56;

interface PlotProps {
  values: number[];
  label: string;
  write?: (value: number) => string;
  /** The top of the picture is no lower than this, so that what is next to nothing looks like it. */
  floor?: number;
}

export function Plot({ values, label, write = (value) => number(value, 1), floor = 0 }: PlotProps) {
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

/** A plot with what it says, its highest value and its time. */
export function Chart({ times, now, ...plot }: PlotProps & { times: number[]; now: string }) {
  const write = plot.write ?? ((value) => number(value, 1));
  return (
    <figure class="chart">
      <figcaption><span>{plot.label}</span><strong>{now}</strong></figcaption>
      <div class="chart-picture"><Plot {...plot} /></div>
      <Times times={times} middle={t("plot.most", { most: write(Math.max(...plot.values)) })} />
    </figure>
  );
}

const TONES = ["bad", "warn", "good"];

/** Health over time: a strip in the colours of health, and as a sentence. */
export function HealthStrip({ values, times, label, now, grades }: { values: number[]; times: number[]; label: string; now: string; grades: string[] }) {
  const spans: { grade: number; count: number }[] = [];
  for (const grade of values) {
    const last = spans.at(-1);
    if (last?.grade === grade) last.count += 1;
    else spans.push({ grade, count: 1 });
  }
  const worst = grades[Math.min(...values, 2)] ?? "";
  let from = 0;
  return (
    <figure class="chart">
      <figcaption><span>{label}</span><strong>{now}</strong></figcaption>
      <svg class="strip" viewBox={`0 0 ${Math.max(values.length, 1)} 1`} preserveAspectRatio="none" role="img" aria-label={t("plot.health", { label, now, worst })}>
        {spans.map(({ grade, count }) => {
          from += count;
          return <rect class={TONES[grade]} x={from - count} y={0} width={count} height={1} />;
        })}
      </svg>
      <Times times={times} />
    </figure>
  );
}

function Times({ times, middle }: { times: number[]; middle?: string }) {
  if (times.length < 2) return null;
  return <p class="chart-times"><span>{shortTime(times[0]!)}</span>{middle && <span>{middle}</span>}<span>{shortTime(times.at(-1)!)}</span></p>;
}
