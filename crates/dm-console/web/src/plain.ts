// What strangers write, made safe to read.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A text of a stranger, in which nothing hides: what directs the order of letters is written out. */
export function plain(text: string): string {
  return text.replace(INVISIBLE, (character) => `⟨${character.codePointAt(0)!.toString(16).padStart(4, "0").toUpperCase()}⟩`);
}
