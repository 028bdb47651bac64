// Requests to the node, with the token of the session for those that change something.
import { signal } from "@preact/signals";
import { t } from "./i18n";

export interface Session {
  csrf_token: string;
  key_id: string;
  /** Who has signed in with an account. */
  person?: { subject: string; name: string };
  scopes: string[];
  ends_in: number;
}

/** `undefined` until it is known whether there is one. */
export const session = signal<Session | null | undefined>(undefined);

/** Whether a session ended without a sign-out, such as with a restart of the node. */
export const hasEnded = signal(false);

export function may(scope: string): boolean {
  return session.value?.scopes.includes(scope) ?? false;
}

/** A refusal, with the sentence of the node and the field that is at fault. */
export class Failure extends Error {
  constructor(readonly status: number, message: string, readonly field?: string) {
    super(message);
  }
}

export interface Ask {
  method?: string;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function ask(path: string, { method = "GET", json, body, headers = {}, signal }: Ask = {}): Promise<Response> {
  const sent: Record<string, string> = { ...headers };
  if (json !== undefined) sent["Content-Type"] = "application/json";
  if (method !== "GET" && method !== "HEAD") sent["X-CSRF-Token"] = session.value?.csrf_token ?? "";
  let response: Response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers: sent,
      body: json === undefined ? (body ?? null) : JSON.stringify(json),
      signal: signal ?? null,
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Failure(0, t("error.unreachable"));
  }
  if (response.ok) return response;
  if (response.status === 401 && session.value) {
    session.value = null;
    hasEnded.value = true;
  }
  const said = await response.json().catch(() => ({}));
  throw new Failure(response.status, said.error ?? t("error.status", { status: response.status }), said.field);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, signal ? { signal } : {})).json();
}

export async function send<T>(method: string, path: string, json?: unknown): Promise<T> {
  const response = await ask(path, { method, json });
  return response.status === 204 ? (undefined as T) : response.json();
}

/** Looks whether the browser is signed in already. */
export async function recall() {
  try {
    session.value = await get<Session>("/session");
  } catch (error) {
    session.value = null;
    if (!(error instanceof Failure) || error.status !== 401) throw error;
  }
}

export async function signIn(api_key: string) {
  session.value = await send<Session>("POST", "/session", { api_key });
  hasEnded.value = false;
}

export async function signOut() {
  const ended = await send<{ provider_url: string | null } | undefined>("DELETE", "/session");
  session.value = null;
  // Who signed in with an account signs out there, too.
  if (ended?.provider_url) location.assign(ended.provider_url);
}

export function query(values: Record<string, string | number | undefined | null>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}
