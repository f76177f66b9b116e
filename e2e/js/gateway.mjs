// `sekisho serve` as a gateway in front of servers that nobody here wrote.
import { join } from 'node:path';

import { accepts, afterwards, freePorts, Program, required } from './processes.mjs';
import { serve } from './sekisho.mjs';

/** The reference server with everything, on a port of its own. */
export async function everything(t, transport = 'streamableHttp', path = 'mcp') {
  const [port] = await freePorts(1);
  const script = join(required('SEKISHO_E2E_MODULES'), 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
  const program = new Program('server-everything', process.execPath, [script, transport], { env: { PORT: `${port}` } });
  afterwards(t, () => program.stop());
  await program.until('port', () => accepts(port));
  return { program, url: `http://127.0.0.1:${port}/${path}` };
}

/** The settings of the published experiment, for one origin and these targets. */
function configuration(origin, targets, toolNames) {
  return {
    listeners: [{ name: 'main', address: new URL(origin).host }],
    management: { address: '127.0.0.1:0' },
    store: { url: 'sqlite::memory:' },
    egress: { allow_networks: ['127.0.0.0/8'] },
    realms: [{
      name: 'mcp-demo',
      url: `${origin}/realms/mcp-demo`,
      scopes: [
        { name: 'profile', kind: 'default' },
        { name: 'email', kind: 'default' },
        { name: 'mcp:tools', kind: 'optional', consent_text: 'Use the tools', audiences: ['mcp-gateway-demo'] },
      ],
      resources: [{ uri: `${origin}/mcp`, default_scopes: ['mcp:tools'] }],
      users: [{ username: 'alice', password: { danger_literal: 'alice' }, name: 'Alice', email: 'alice@example.test' }],
      cimd: { mode: 'open', allow_http: true, danger_any_port: true, danger_allow_networks: ['127.0.0.0/8'] },
    }],
    documents: [{
      url: `${origin}/oauth/client-metadata.json`,
      document: {
        client_name: 'A client of the tests',
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1:6274/oauth/callback'],
      },
    }],
    gateways: [{
      name: 'demo',
      url: `${origin}/mcp`,
      authorizer: {
        discovery_url: `${origin}/realms/mcp-demo/.well-known/openid-configuration`,
        allowed_audiences: ['mcp-gateway-demo'],
        allowed_scopes: ['mcp:tools'],
      },
      tool_names: toolNames,
      targets: targets.map(({ name, url }) => ({ name, mcp: { url } })),
    }],
  };
}

/** `sekisho serve` in front of these targets, and what a client needs to know to use it. */
export async function gateway(t, targets, toolNames = 'prefixed') {
  const [port] = await freePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const { program } = await serve(t, configuration(origin, targets, toolNames));
  return { program, mcp_endpoint: `${origin}/mcp`, task: {
    clientId: `${origin}/oauth/client-metadata.json`,
    issuer: `${origin}/realms/mcp-demo`,
    redirectUri: 'http://127.0.0.1:6274/oauth/callback',
  } };
}
