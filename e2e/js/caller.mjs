// What the programs around a library have in common: calls with an access token, and the talk with the test; see library.mjs.
import { createInterface } from 'node:readline';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

/** Does `work` with the MCP server as whoever has this access token. */
async function connected(url, accessToken, work) {
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${accessToken}` } } });
  const client = new Client({ name: 'sekisho-e2e', version: '0' });
  await client.connect(transport);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/**
 * `logIn` gives tokens, `refresh` gives new ones for the last; `opened` are the authorization URLs so far.
 * Tokens are refreshed when their time is over by this machine's clock, as such clients do.
 */
export async function talk(task, { logIn, refresh, opened }) {
  const say = (report) => console.log(JSON.stringify(report));
  try {
    let tokens = await logIn();
    let end = Date.now() + tokens.expires_in * 1000;
    const tools = await connected(task.url, tokens.access_token, async (client) => (await client.listTools()).tools.map((tool) => tool.name));
    say({ tools, accessToken: tokens.access_token, opened });
    for await (const line of createInterface({ input: process.stdin })) {
      if (Date.now() >= end) {
        tokens = await refresh(tokens);
        end = Date.now() + tokens.expires_in * 1000;
      }
      const call = { name: 'my-mcp-server___add_numbers', arguments: JSON.parse(line) };
      const { content } = await connected(task.url, tokens.access_token, (client) => client.callTool(call));
      say({ sum: content.find((part) => part.type === 'text')?.text, accessToken: tokens.access_token, opened });
    }
  } catch (error) {
    say({ error: `${error.stack} ${JSON.stringify(error.cause ?? error)}` });
  }
  process.exit(0);
}
