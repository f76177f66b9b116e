// mcp-remote: what a program that speaks MCP over stdio only starts in order to reach a server on the web.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { atHome, Browser } from './browser.mjs';
import { node, surroundings } from './clients.mjs';
import { afterwards, freePorts, required, scratch } from './processes.mjs';

const program = join(required('SEKISHO_E2E_MODULES'), 'node_modules', 'mcp-remote', 'dist', 'proxy.js');

/** A host with mcp-remote as its only server. */
export class McpRemote {
  static async start(t, place, { clientMetadataUrl }) {
    const home = scratch(t);
    const browser = new Browser(home);
    const storage = join(home, 'mcp-remote');
    const [callbackPort] = await freePorts(1);
    const document = clientMetadataUrl ? ['--client-metadata-url', clientMetadataUrl] : [];
    const transport = new StdioClientTransport({
      command: node,
      args: [program, place.mcp_endpoint, String(callbackPort), '--auth-timeout', '60', ...document],
      env: { ...process.env, ...surroundings(place), ...atHome(home), ...browser.env, MCP_REMOTE_CONFIG_DIR: storage },
      stderr: 'pipe',
    });
    let said = '';
    transport.stderr.on('data', (data) => (said += data));
    const client = new Client({ name: 'a program without a network', version: '0' });
    afterwards(t, () => client.close());
    try {
      await client.connect(transport);
    } catch (error) {
      throw new Error(`mcp-remote: ${error.message}\n${said}\n${browser.printed()}`, { cause: error });
    }
    return new McpRemote(client, browser, storage);
  }

  constructor(client, browser, storage) {
    Object.assign(this, { client, browser, storage });
  }

  async tools() {
    return (await this.client.listTools()).tools.map((tool) => tool.name);
  }

  async add(a, b) {
    const { content } = await this.client.callTool({ name: 'my-mcp-server___add_numbers', arguments: { a, b } });
    return content.find((part) => part.type === 'text')?.text;
  }

  accessToken() {
    const file = readdirSync(this.storage, { recursive: true }).find((name) => name.endsWith('_tokens.json'));
    return JSON.parse(readFileSync(join(this.storage, file), 'utf8')).access_token;
  }

  opened() {
    return this.browser.opened();
  }
}
