// Uploads a file with tus-js-client, and compares what was shared with it.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import * as tus from "tus-js-client";

const { API, API_KEY, RECIPIENT, FILE } = process.env;
const headers = { "X-API-Key": API_KEY };
const bytes = readFileSync(FILE);
let retries = 0;

// Of any size, in parts, and with POST in the place of PATCH.
for (const options of [{}, { chunkSize: 5_000_000 }, { chunkSize: 5_000_000, overridePatchMethod: true }]) {
  const upload = await new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      ...options,
      endpoint: `${API}/uploads`,
      headers,
      metadata: { recipients: RECIPIENT, name: "file.bin", labels: JSON.stringify({ by: "tus-js-client" }) },
      retryDelays: [0, 500, 1000, 2000],
      onShouldRetry: () => {
        retries += 1;
        return true;
      },
      onError: reject,
      onSuccess: () => resolve(upload),
    });
    upload.start();
  });
  const response = await fetch(upload.url, { headers });
  const answer = await response.json();
  const expected = createHash("sha256").update(bytes).digest("hex");
  if (answer.data_hash !== expected) {
    throw new Error(`expected ${expected}, got ${response.status} ${JSON.stringify(answer)}`);
  }
}
if (retries === 0) {
  throw new Error("the connection did not break");
}
console.log(`tus-js-client: uploaded, after ${retries} broken connections`);
