// Names for the addresses of others.
import { signal } from "@preact/signals";
import { get, query } from "./api";

export interface Contact {
  name: string;
  address: string;
  trust: "accept" | "ask" | "block";
  note: string | null;
  added_at: number;
  changed: { at: number; what: string[] } | null;
}

export const contacts = signal<Contact[]>([]);

export async function loadContacts() {
  const all: Contact[] = [];
  let cursor: string | null = null;
  do {
    const page: { contacts: Contact[]; next_cursor: string | null } = await get(`/contacts${query({ limit: 1000, cursor })}`);
    all.push(...page.contacts);
    cursor = page.next_cursor;
  } while (cursor);
  contacts.value = all;
}

export function nameOf(address: string): string | undefined {
  return contacts.value.find((contact) => contact.address.toLowerCase() === address.toLowerCase())?.name;
}
