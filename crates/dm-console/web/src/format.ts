// How values are written: local times, sizes, amounts in tokens, short addresses.
import { locale } from "./i18n";
import { isolated } from "./plain";

export function time(ms: number | null | undefined): string {
  if (ms == null) return "–";
  return isolated(new Intl.DateTimeFormat(locale.value, { dateStyle: "medium", timeStyle: "medium" }).format(ms));
}

export function shortTime(ms: number): string {
  const today = new Date(ms).toDateString() === new Date().toDateString();
  const style: Intl.DateTimeFormatOptions = today ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "short" };
  return isolated(new Intl.DateTimeFormat(locale.value, style).format(ms));
}

export function since(ms: number): string {
  const seconds = Math.round((ms - Date.now()) / 1000);
  const format = new Intl.RelativeTimeFormat(locale.value, { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]] as const) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(seconds, "second");
}

export function duration(seconds: number): string {
  const parts = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]] as const;
  const [unit, size] = parts.find(([, size]) => seconds >= size) ?? parts[3];
  return new Intl.NumberFormat(locale.value, { style: "unit", unit, unitDisplay: "long" }).format(Math.floor(seconds / size));
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count: number | null | undefined): string {
  if (count == null) return "–";
  let unit = 0;
  while (count >= 1024 && unit < UNITS.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return isolated(`${number(count, unit === 0 ? 0 : 1)} ${UNITS[unit]}`);
}

export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(locale.value, { maximumFractionDigits: digits }).format(value);
}

/** An amount in the smallest unit, written in tokens. */
export function tokens(amount: string, decimals: number): string {
  const digits = amount.padStart(decimals + 1, "0");
  const whole = new Intl.NumberFormat(locale.value).format(BigInt(digits.slice(0, digits.length - decimals)));
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, "");
  const point = new Intl.NumberFormat(locale.value).formatToParts(1.5).find((part) => part.type === "decimal")!.value;
  return isolated(rest ? `${whole}${point}${rest}` : whole);
}

/** The smallest unit of an amount that a person wrote in tokens; null if it is none. */
export function smallest(text: string, decimals: number): string | null {
  const found = /^(\d+)(?:[.,](\d+))?$/.exec(text.trim());
  if (!found || (found[2] ?? "").length > decimals) return null;
  const amount = BigInt(found[1] + (found[2] ?? "").padEnd(decimals, "0"));
  return amount > 0n ? amount.toString() : null;
}

export function short(id: string): string {
  return id.length > 16 ? `${id.slice(0, id.startsWith("0x") ? 8 : 6)}…${id.slice(-6)}` : id;
}

export { plain } from "./plain";
