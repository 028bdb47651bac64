// Light, dark, or what the system says.
import { signal, effect } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEPT = "dm.theme";
const kept = localStorage.getItem(KEPT);
const dark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(dark.matches);
dark.addEventListener("change", () => (systemIsDark.value = dark.matches));

export const theme = signal<Theme>(kept === "light" || kept === "dark" ? kept : "system");

export function isDark(): boolean {
  return theme.value === "dark" || (theme.value === "system" && systemIsDark.value);
}

effect(() => {
  localStorage.setItem(KEPT, theme.value);
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
});
