// The language of the page. A language is one file of texts and one line here.
import { computed, signal, effect } from "@preact/signals";
import { isolated } from "./plain";
import { en } from "./texts/en";
import { de } from "./texts/de";

export type Key = keyof typeof en;
export type Texts = Record<Key, string>;

/** Name in its own language, direction of writing, and texts. */
export const languages: Record<string, { name: string; dir: "ltr" | "rtl"; texts: Texts }> = {
  en: { name: "English", dir: "ltr", texts: en },
  de: { name: "Deutsch", dir: "ltr", texts: de },
};

const KEPT = "dm.language";

function first(): string {
  const kept = localStorage.getItem(KEPT);
  const wanted = [kept, ...navigator.languages.map((tag) => tag.split("-")[0])];
  return wanted.find((code) => code && code in languages) ?? "en";
}

export const language = signal(first());

/** How this person's region writes times and numbers in this language. */
export const locale = computed(() => navigator.languages.find((tag) => tag.split("-")[0] === language.value) ?? language.value);

effect(() => {
  document.documentElement.lang = language.value;
  document.documentElement.dir = languages[language.value]!.dir;
});

export function chooseLanguage(code: string) {
  localStorage.setItem(KEPT, code);
  language.value = code;
}

/** A text, with `{name}` replaced by the values. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return textOf(key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? isolated(String(values[name])) : whole));
}

/** What something is called that the node may know and this page not. */
export function named(group: string, name: string): string {
  return languages[language.value]!.texts[`${group}.${name}` as Key] ?? name;
}

function textOf(key: Key): string {
  return languages[language.value]!.texts[key] ?? key;
}
