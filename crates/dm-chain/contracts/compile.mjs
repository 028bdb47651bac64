// Compiles the contracts and writes one JSON file for each to `artifacts/`,
// for those that only tests use to `artifacts/test/`.
//
//   node compile.mjs           writes the artifacts
//   node compile.mjs --check   fails where a committed artifact differs from its source
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import solc from 'solc';

const here = dirname(fileURLToPath(import.meta.url));

// The anchor contract's address follows from its bytecode: every setting here is part
// of it. No metadata is appended, so that comments and paths are not. London's code
// runs on every fork since Berlin, on chains without EIP-1559 too.
const anchorSettings = {
  evmVersion: 'london',
  viaIR: true,
  optimizer: { enabled: true, runs: 1_000_000 },
  metadata: { appendCBOR: false, bytecodeHash: 'none' },
};
// OpenZeppelin's contracts need Cancun.
const tokenSettings = { ...anchorSettings, evmVersion: 'cancun', optimizer: { enabled: true, runs: 200 } };

const units = [
  { source: 'AnchorLog.sol', settings: anchorSettings, folder: 'artifacts', names: ['AnchorLog'] },
  { source: 'NodeToken.sol', settings: tokenSettings, folder: 'artifacts', names: ['NodeToken'] },
  {
    source: 'test/OddTokens.sol',
    settings: anchorSettings,
    folder: 'artifacts/test',
    names: [
      'PlainToken',
      'SilentToken',
      'Bytes32Token',
      'FeeToken',
      'RefusingToken',
      'MuteToken',
      'FalseToken',
      'LyingToken',
      'BoastingToken',
      'ManyDecimalsToken',
      'NamelessToken',
      'LongNameToken',
      'EndlessNameToken',
      'GarbledNameToken',
      'Hole',
      'Counter',
    ],
  },
];

// What a source imports: other sources here, and packages.
function read(path) {
  const at = path.startsWith('@') ? join(here, 'node_modules', path) : join(here, path);
  try {
    return { contents: readFileSync(at, 'utf8') };
  } catch (error) {
    return { error: error.message };
  }
}

function compile({ source, settings }) {
  const input = {
    language: 'Solidity',
    sources: { [source]: { content: read(source).contents } },
    settings: { ...settings, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const messages = output.errors ?? [];
  for (const message of messages) console.error(message.formattedMessage);
  if (messages.length > 0) process.exit(1);
  return output.contracts[source];
}

function artifact({ abi, evm }, settings, name) {
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

for (const unit of units) {
  const compiled = compile(unit);
  for (const name of unit.names) {
    const path = join(unit.folder, `${name}.json`);
    const fresh = artifact(compiled[name], unit.settings, name);
    if (!process.argv.includes('--check')) {
      writeFileSync(join(here, path), fresh);
      console.log(`${name}: ${(JSON.parse(fresh).bytecode.length - 2) / 2} bytes`);
    } else if (committed(join(here, path)) !== fresh) {
      console.error(`${path} is not what ${unit.source} compiles to; run: node compile.mjs`);
      process.exit(1);
    }
  }
}
