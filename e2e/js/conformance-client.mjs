// What the official client suite runs as its client: the gateway, with the suite's server behind it, and the official TypeScript
// client before it. `node conformance-client.mjs URL`; the suite says the rest by variables.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const STATELESS = '2026-07-28';
const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_PROTOCOL_VERSION: version, MCP_CONFORMANCE_CONTEXT: context } = process.env;
const isStateless = version === STATELESS;
const url = process.argv.at(-1);

/** Servers of the suite that speak the stateless era without saying so: somebody has to answer `server/discover` for them. */
const SILENT = ['http-standard-headers', 'http-custom-headers', 'http-invalid-tool-headers', 'sep-2322-client-request-state'];

async function body(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A place before the server that answers `server/discover`. */
async function discoverable(to) {
  const server = createServer(async (request, response) => {
    const sent = await body(request);
    const message = sent.length > 0 ? JSON.parse(sent) : {};
    if (message.method === 'server/discover') {
      const result = {
        resultType: 'complete', supportedVersions: [STATELESS], capabilities: { tools: {}, resources: {}, prompts: {} }, ttlMs: 0, cacheScope: 'private',
      };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }));
      return;
    }
    const { host, connection, 'content-length': length, ...headers } = request.headers;
    const answer = await fetch(to, { method: request.method, headers, body: sent.length > 0 ? sent : undefined });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}/mcp` };
}

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

const folder = mkdtempSync(join(tmpdir(), 'sekisho-conformance-'));
const before = SILENT.includes(scenario) ? await discoverable(url) : undefined;
const [port, management] = [await freePort(), await freePort()];
const endpoint = `http://localhost:${port}/mcp`;
writeFileSync(join(folder, 'sekisho.yaml'), JSON.stringify({
  data_directory: join(folder, 'data'),
  listeners: [{ name: 'main', address: `127.0.0.1:${port}` }],
  management: { address: `127.0.0.1:${management}` },
  egress: { allow_networks: ['127.0.0.0/8', '::1/128'] },
  gateways: [{
    name: 'suite', url: endpoint, danger_no_authorization: true, tool_names: 'bare', targets: [{ name: 'suite', mcp: { url: before?.url ?? url } }],
  }],
}));
const ready = join(folder, 'ready.json');
const gateway = spawn(process.env.SEKISHO_BIN, ['serve', '--config', join(folder, 'sekisho.yaml'), '--ready-file', ready], { stdio: ['ignore', 'inherit', 'inherit'] });
process.on('exit', () => {
  gateway.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});
while (!existsSync(ready)) await pause(50);

const client = new Client({ name: 'suite', version: '0' }, {
  capabilities: { elicitation: {}, sampling: {}, roots: {} }, versionNegotiation: { mode: isStateless ? { pin: STATELESS } : 'legacy' },
});
client.setRequestHandler('elicitation/create', async ({ params }) => {
  const properties = Object.entries(params.requestedSchema?.properties ?? {});
  const value = ({ type, default: known }) => known ?? (type === 'boolean' ? true : 'entered');
  return { action: 'accept', content: Object.fromEntries(properties.map(([name, schema]) => [name, value(schema)])) };
});
await client.connect(new StreamableHTTPClientTransport(new URL(endpoint)));

// The gateway lists what is behind it as soon as it can.
let tools = [];
for (let tries = 0; tries < 40 && tools.length === 0; tries += 1) {
  ({ tools } = await client.listTools());
  if (tools.length === 0) await pause(100);
}
const call = (name, args = {}) => client.callTool({ name, arguments: args }).catch((error) => console.error(`${name}: ${error.message}`));
const { toolCalls = [] } = JSON.parse(context ?? '{}');
const named = (name) => tools.find((tool) => tool.name === name);

if (toolCalls.length > 0) {
  for (const { name, arguments: args } of toolCalls) await call(name, args);
} else if (named('json_schema_echo')) {
  await call('json_schema_echo', { schema: named('json_schema_2020_12_tool').inputSchema });
} else {
  const given = { add_numbers: { a: 5, b: 3 } };
  for (const { name } of tools) await call(name, given[name] ?? (scenario === 'http-invalid-tool-headers' ? { region: 'us-west1' } : {}));
}
if (scenario === 'http-standard-headers') {
  for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
  for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name, arguments: {} });
}
await client.close();
gateway.kill('SIGTERM');
await new Promise((resolve) => gateway.once('exit', resolve));
before?.server.close();
process.exit(0);
