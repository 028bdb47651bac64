// A program that a node calls when something happens.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import type { components } from "./external.js";

export type CloudEvent = components["schemas"]["CloudEvent"];

const PATIENCE_MS = 60_000;

/** Checks the signature of a call; an error says that it is not the node's. */
export function readEvent(secret: string, headers: Record<string, string>, body: string): CloudEvent {
  return new Webhook(secret).verify(body, headers) as CloudEvent;
}

/** Takes calls on a port of this machine. */
export class Receiver {
  readonly #server: Server;
  readonly #events: CloudEvent[] = [];
  #secret = "";
  #wake: () => void = () => {};

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server);
    server.on("request", async (request, response) => {
      response.writeHead(receiver.#take(request, await bodyOf(request))).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  /** Sets the key of the calls, which the answer to the subscription had. */
  expect(secret: string): void {
    this.#secret = secret;
  }

  async nextEvent(): Promise<CloudEvent> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const event = this.#events.shift();
      if (event) return event;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error("no event came");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #take(request: IncomingMessage, body: string): number {
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    if (refuses(this.#secret, headers, body)) return 401;
    if (!refuses(this.#secret, headers, `${body} `)) throw new Error("a changed body has a valid signature");
    this.#events.push(readEvent(this.#secret, headers, body));
    this.#wake();
    return 204;
  }
}

function refuses(secret: string, headers: Record<string, string>, body: string): boolean {
  try {
    readEvent(secret, headers, body);
    return false;
  } catch {
    return true;
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("utf8");
}
