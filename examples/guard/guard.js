// A plugin that refuses to share data with card numbers, secrets, or what else
// the operator names in plugin.toml.

import { write } from 'datamgmt:plugin/log@1.0.0';

const SECRETS = [
  ['a private key', /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/],
  ['an AWS access key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/],
  ['a GitHub token', /\b(?:gh[opusr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})/],
  ['a Slack token', /\bxox[abposr]-[A-Za-z0-9-]{10,}/],
  ['a Stripe key', /\b[rs]k_live_[A-Za-z0-9]{16,}/],
];

// 13 to 19 digits, as they are written on cards: in groups, or in one.
const CARD = /(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])/g;

let checks = [];

export function initialize(node, text) {
  const settings = JSON.parse(text);
  checks = [];
  if (settings.card_numbers) checks.push(['a card number', hasCardNumber]);
  if (settings.secrets) {
    for (const [name, pattern] of SECRETS) checks.push([name, (data) => pattern.test(data)]);
  }
  for (const { name, pattern } of settings.patterns ?? []) {
    const expression = new RegExp(pattern);
    checks.push([name, (data) => expression.test(data)]);
  }
  write('info', `${checks.length} checks on node ${node.nodeId}`);
}

export function shutdown() {}

export function onEvent(_event) {}

export function beforeShare(_share) {
  return { tag: 'allow' };
}

export function examine(piece) {
  const data = asText(piece.bytes);
  const found = checks.find(([, isIn]) => isIn(data));
  return found ? { tag: 'refuse', val: `the data contains ${found[0]}` } : { tag: 'allow' };
}

export function beforeRetrieval(_retrieval) {
  return { tag: 'allow' };
}

// One character for each byte, so that data of any kind has a text; what is
// looked for is ASCII.
function asText(bytes) {
  const parts = [];
  for (let start = 0; start < bytes.length; start += 8192) {
    parts.push(String.fromCharCode(...bytes.subarray(start, start + 8192)));
  }
  return parts.join('');
}

function hasCardNumber(data) {
  for (const [found] of data.matchAll(CARD)) {
    const digits = found.replace(/[ -]/g, '');
    if (/^[2-6]/.test(digits) && hasCheckDigit(digits)) return true;
  }
  return false;
}

// ISO/IEC 7812-1, annex B: the Luhn formula.
function hasCheckDigit(digits) {
  let sum = 0;
  for (let place = 0; place < digits.length; place += 1) {
    const digit = Number(digits[digits.length - 1 - place]);
    const doubled = place % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
