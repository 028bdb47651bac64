// What strangers write, made safe to read.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A text of a stranger, in which nothing hides: what directs the order of letters is written out. */
export function plain(text: string): string {
  return text.replace(INVISIBLE, (character) => `⟨${character.codePointAt(0)!.toString(16).padStart(4, "0").toUpperCase()}⟩`);
}

/** A text with a direction of its own, such as `3 MiB`, for a page from right to left. */
export function isolated(text: string): string {
  return document.documentElement.dir === "rtl" ? `\u2068${text}\u2069` : text;
}
