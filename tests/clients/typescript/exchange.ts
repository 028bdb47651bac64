// One organisation shares data with another, both through generated clients.
//
//     node build/exchange.js SENDER.json RECIPIENT.json
//
// Each file has what `dm-node dev --json` prints for a node.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./external.js";
import type { components as operatorsComponents, paths as operatorsPaths } from "./internal.js";
import { Receiver, type CloudEvent } from "./receiver.js";

type Node = { address: string; api_key: string; external_api: string; internal_api: string };
type InboxItem = components["schemas"]["InboxItem"];
type NewSubscription = operatorsComponents["schemas"]["NewSubscription"];

function connect(node: Node): Client<paths> {
  return createClient<paths>({
    baseUrl: node.external_api,
    headers: { "X-API-Key": node.api_key },
    // label.kind=invoice, and not labels[label.kind]=invoice.
    querySerializer: { object: { style: "form", explode: true } },
  });
}

function connectAsOperator(node: Node): Client<operatorsPaths> {
  return createClient<operatorsPaths>({
    baseUrl: node.internal_api,
    headers: { "X-API-Key": node.api_key },
  });
}

async function shareText(sender: Client<paths>, recipient: string): Promise<string> {
  const { data, error } = await sender.POST("/share_data", {
    body: {
      data: "Invoice 17",
      recipient,
      name: "invoice.txt",
      media_type: "text/plain",
      labels: { kind: "invoice" },
    },
  });
  if (!data) throw new Error(error.error);
  // Several recipients get a share each, in data.shares.
  assert("data_hash" in data);
  return data.data_hash;
}

async function shareFile(sender: Client<paths>, recipient: string, content: Blob): Promise<string> {
  const { data, error } = await sender.PUT("/objects", {
    params: {
      query: { recipient },
      header: {
        "Content-Disposition": 'attachment; filename="drawing.bin"',
        "X-Labels": JSON.stringify({ kind: "drawing" }),
      },
    },
    headers: { "Content-Type": "image/x-test" },
    body: content as unknown as string,
    bodySerializer: (body) => body,
  });
  if (!data) throw new Error(error.error);
  // Several recipients get a share each, in data.shares.
  assert("data_hash" in data);
  return data.data_hash;
}

async function find(recipient: Client<paths>, kind: string): Promise<InboxItem> {
  const { data, error } = await recipient.GET("/inbox", {
    params: { query: { labels: { "label.kind": kind } } },
  });
  if (!data) throw new Error(error.error);
  const [item, ...others] = data.items;
  assert(item && others.length === 0, JSON.stringify(data.items));
  return item;
}

async function fetchObject(recipient: Client<paths>, data_hash: string): Promise<ArrayBuffer> {
  const { data, error } = await recipient.GET("/objects/{data_hash}", {
    params: { path: { data_hash } },
    parseAs: "arrayBuffer",
  });
  if (!data) throw new Error(error?.error);
  return data;
}

async function acknowledge(recipient: Client<paths>, data_hash: string): Promise<number> {
  const { data, error } = await recipient.POST("/inbox/{data_hash}/acknowledge", {
    params: { path: { data_hash } },
  });
  if (!data) throw new Error(error.error);
  return data.acknowledged_at;
}

async function waitUntilAcknowledged(sender: Client<paths>, data_hash: string): Promise<CloudEvent> {
  for (let cursor: string | undefined; ; ) {
    const { data, error } = await sender.GET("/events", {
      params: { query: { topics: "data.acknowledged", cursor, wait: 30 } },
    });
    if (!data) throw new Error(error.error);
    assert(data.events.length > 0, "nothing was acknowledged");
    const event = data.events.find((event) => event.subject === data_hash);
    if (event) return event;
    cursor = data.cursor;
  }
}

async function subscribeToArrivals(operator: Client<operatorsPaths>, url: string): Promise<NewSubscription> {
  const { data, error } = await operator.POST("/subscriptions", {
    body: { name: "arrivals", url, topics: ["data.received"] },
  });
  if (!data) throw new Error(error.error);
  return data;
}

async function arrivals(recipient: Client<paths>): Promise<CloudEvent[]> {
  const { data, error } = await recipient.GET("/events", {
    params: { query: { topics: "data.received" } },
  });
  if (!data) throw new Error(error.error);
  return data.events;
}

async function exchange(senderNode: Node, recipientNode: Node): Promise<void> {
  const drawing = new Blob([Uint8Array.from({ length: 500_000 }, (_, n) => n % 251)]);
  const receiver = await Receiver.start();
  const sender = connect(senderNode);
  const recipient = connect(recipientNode);
  const operator = connectAsOperator(recipientNode);
  const subscription = await subscribeToArrivals(operator, receiver.url);
  receiver.expect(subscription.secret);

  const shared = [
    await shareText(sender, recipientNode.address),
    await shareFile(sender, recipientNode.address, drawing),
  ];
  const called = [await receiver.nextEvent(), await receiver.nextEvent()];
  assert.deepEqual(new Set(called.map((event) => event.subject)), new Set(shared));
  assert.deepEqual(called, (await arrivals(recipient)).slice(-2));

  const invoice = await find(recipient, "invoice");
  assert.deepEqual(
    [invoice.data_hash, invoice.name, invoice.media_type, invoice.state, invoice.from],
    [shared[0], "invoice.txt", "text/plain", "new", senderNode.address],
  );
  assert.equal(new TextDecoder().decode(await fetchObject(recipient, invoice.data_hash)), "Invoice 17");
  const other = await find(recipient, "drawing");
  assert.deepEqual([other.name, other.media_type], ["drawing.bin", "image/x-test"]);
  assert.deepEqual(await fetchObject(recipient, other.data_hash), await drawing.arrayBuffer());

  const acknowledgedAt = await acknowledge(recipient, invoice.data_hash);
  assert.equal(await acknowledge(recipient, invoice.data_hash), acknowledgedAt);
  const params = { path: { data_hash: invoice.data_hash } };
  assert.equal((await recipient.GET("/inbox/{data_hash}", { params })).data?.state, "acknowledged");
  const event = await waitUntilAcknowledged(sender, invoice.data_hash);
  assert.equal(event.data.recipient, recipientNode.address);
  const sent = await sender.GET("/shares/{data_hash}", { params });
  assert.deepEqual(sent.data?.shares.map((share) => share.acknowledged_at), [acknowledgedAt]);

  const unknown = await recipient.GET("/objects/{data_hash}", { params: { path: { data_hash: "0".repeat(64) } } });
  assert.equal(unknown.response.status, 404);
  assert(unknown.error?.error);

  await operator.DELETE("/subscriptions/{id}", { params: { path: { id: subscription.id } } });
  receiver.close();
}

const [senderFile, recipientFile] = process.argv.slice(2);
assert(senderFile && recipientFile, "usage: exchange.js SENDER.json RECIPIENT.json");
const nodes = [senderFile, recipientFile].map((file): Node => JSON.parse(readFileSync(file, "utf8")));
await exchange(nodes[0]!, nodes[1]!);
console.log("typescript: shared, called, listed, fetched, acknowledged");
