// Compiles the contracts and writes one JSON file for each to `artifacts/`.
//
//   node compile.mjs           writes the artifacts
//   node compile.mjs --check   fails where a committed artifact differs from its source
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import solc from 'solc';

const here = dirname(fileURLToPath(import.meta.url));
const sources = ['AnchorLog.sol', 'Rfc6962.sol'];
const contracts = [['AnchorLog.sol', 'AnchorLog']];

// The contract's address follows from its bytecode: every setting here is part
// of it. No metadata is appended, so that comments and paths are not. London's code
// runs on every fork since Berlin, on chains without EIP-1559 too.
const settings = {
  evmVersion: 'london',
  viaIR: true,
  optimizer: { enabled: true, runs: 1_000_000 },
  metadata: { appendCBOR: false, bytecodeHash: 'none' },
};

function compile() {
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(sources.map((name) => [name, { content: readFileSync(join(here, name), 'utf8') }])),
    settings: { ...settings, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const messages = output.errors ?? [];
  for (const message of messages) console.error(message.formattedMessage);
  if (messages.length > 0) process.exit(1);
  return output.contracts;
}

function artifact(compiled, source, name) {
  const { abi, evm } = compiled[source][name];
  const content = { contractName: name, compiler: solc.version(), settings, abi, bytecode: `0x${evm.bytecode.object}` };
  return `${JSON.stringify(content, null, 2)}\n`;
}

function committed(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const compiled = compile();
for (const [source, name] of contracts) {
  const path = join(here, 'artifacts', `${name}.json`);
  const fresh = artifact(compiled, source, name);
  if (!process.argv.includes('--check')) {
    writeFileSync(path, fresh);
    console.log(`${name}: ${(JSON.parse(fresh).bytecode.length - 2) / 2} bytes`);
  } else if (committed(path) !== fresh) {
    console.error(`artifacts/${name}.json is not what ${source} compiles to; run: node compile.mjs`);
    process.exit(1);
  }
}
