// The official TypeScript client, told by one JSON argument what to do; prints one JSON report.
// { url, era: 'legacy'|'auto'|'2026-07-28', clientId?, clientMetadataUrl?, redirectUri, scope?, refresh?, everything?, asked?, calls? }
// `scope` is asked for instead of what the server's challenge recommends.
import './hosts.mjs';
import { auth, Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

import { authorize } from './person.mjs';

const task = JSON.parse(process.argv[2]);
const report = { pages: [] };

/** Keeps everything in memory, as a client that was started a moment ago. */
class Provider {
  redirectUrl = task.redirectUri;
  clientMetadataUrl = task.clientMetadataUrl;
  clientMetadata = {
    client_name: 'a client that nobody registered',
    redirect_uris: [task.redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };

  clientInformation() {
    return task.clientId ? { client_id: task.clientId } : this.information;
  }
  saveClientInformation(information) {
    this.information = information;
    report.clientInformation = information;
  }
  tokens() {
    return this.saved;
  }
  saveTokens(tokens) {
    this.saved = tokens;
    report.tokens = tokens;
    report.tokensSaved = (report.tokensSaved ?? 0) + 1;
  }
  state() {
    return 'the state of this client';
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }
  codeVerifier() {
    return this.verifier;
  }
  discoveryState() {
    return this.discovered;
  }
  saveDiscoveryState(state) {
    this.discovered = state;
  }
  async redirectToAuthorization(url) {
    report.authorizationUrl = url.href;
    const pages = [];
    try {
      this.callback = await authorize(url, { ...task, pages });
    } finally {
      report.pages = pages.map(({ url, status, text }) => ({ url, status, text }));
    }
    report.callback = this.callback.href;
  }
}

const provider = new Provider();
const connect = async () => {
  const transport = new StreamableHTTPClientTransport(new URL(task.url), { authProvider: provider });
  const mode = task.era === 'legacy' || task.era === 'auto' ? task.era : { pin: task.era };
  const capabilities = task.asked ? { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} } : {};
  const client = new Client({ name: 'sekisho-e2e', version: '0' }, { capabilities, versionNegotiation: { mode } });
  if (task.asked) answer(client);
  try {
    await client.connect(transport);
  } catch (error) {
    if (!isUnauthorized(error) || !provider.callback) throw error;
    await transport.finishAuth(provider.callback.searchParams);
    await client.close().catch(() => {});
    return undefined;
  }
  return client;
};

function isUnauthorized(error) {
  for (let cause = error; cause; cause = cause.cause ?? cause.data?.cause) if (cause instanceof UnauthorizedError) return true;
  return error?.message?.includes('Unauthorized') ?? false;
}

/** What a person enters in a field. */
function fill([name, schema]) {
  const byFormat = { email: 'a@example.test', uri: 'https://example.test/', date: '2026-11-27', 'date-time': '2026-11-27T00:00:00Z' };
  const byType = { boolean: true, integer: schema.minimum ?? 1, number: schema.minimum ?? 1, array: [] };
  return [name, schema.default ?? schema.enum?.[0] ?? schema.oneOf?.[0].const ?? byType[schema.type] ?? byFormat[schema.format] ?? `${task.asked}'s ${name}`];
}

/** Answers what servers ask: as a person who is `task.asked`, and a model that repeats. */
function answer(client) {
  client.setRequestHandler('elicitation/create', async ({ params }) => {
    report.questions = [...(report.questions ?? []), params.message];
    const fields = Object.entries(params.requestedSchema?.properties ?? {});
    return task.asked === 'nobody' ? { action: 'decline' } : { action: 'accept', content: Object.fromEntries(fields.map(fill)) };
  });
  client.setRequestHandler('sampling/createMessage', async ({ params: { messages: [{ content }] } }) => ({
    role: 'assistant', model: 'echo', content: { type: 'text', text: `${task.asked} hears: ${(Array.isArray(content) ? content[0] : content).text}` },
  }));
  client.setRequestHandler('roots/list', async () => ({ roots: [{ uri: `file:///home/${task.asked}`, name: 'home' }] }));
}

const call = async (client, name, args) => {
  const result = await client.callTool({ name, arguments: args });
  return result.isError ? { error: result.content } : result.content.find((part) => part.type === 'text')?.text;
};

/** The flow by itself, for a scope of our own choice. */
const logIn = async (scope) => {
  await auth(provider, { serverUrl: task.url, scope });
  const { searchParams: answer } = provider.callback;
  if (answer.has('error')) throw new Error(`${answer.get('error')}: ${answer.get('error_description')}`);
  await auth(provider, { serverUrl: task.url, authorizationCode: answer.get('code'), iss: answer.get('iss') ?? undefined });
};

try {
  if (task.scope) await logIn(task.scope);
  const client = (await connect()) ?? (await connect());
  if (!client) throw new Error('still not authorized after the flow');
  report.version = client.getNegotiatedProtocolVersion();
  report.tools = (await client.listTools()).tools.map((tool) => tool.name);
  const named = (name) => report.tools.find((tool) => tool === name || tool.endsWith(`___${name}`)) ?? name;
  if (task.calls) {
    report.called = {};
    for (const [name, args] of task.calls) report.called[name] = await call(client, named(name), args);
    report.prompts = (await client.listPrompts()).prompts.map(({ name }) => name);
    report.resources = (await client.listResources()).resources.map(({ uri }) => uri);
    const [contents] = (await client.readResource({ uri: report.resources[0] })).contents;
    report.read = contents.text ?? contents.blob;
    await client.close();
    console.log(JSON.stringify(report));
    process.exit(0);
  }
  if (task.asked) {
    // Together: each answer finds its own call.
    [report.booked, report.summedUp, report.where] = await Promise.all([
      call(client, named('book'), {}), call(client, named('sum_up'), { what: 'all' }), call(client, named('where'), {}),
    ]);
    await client.close();
    console.log(JSON.stringify(report));
    process.exit(0);
  }
  report.sum = await call(client, named('add_numbers'), { a: 2, b: 3 });
  report.product = await call(client, named('multiply_numbers'), { a: 2, b: 3 });
  report.greeting = await call(client, named('greet_user'), { name: 'Alice' });
  if (task.everything) {
    report.resources = (await client.listResources()).resources.map(({ uri }) => uri);
    report.templates = (await client.listResourceTemplates()).resourceTemplates.map(({ uriTemplate }) => uriTemplate);
    report.prompts = (await client.listPrompts()).prompts.map(({ name }) => name);
    const read = async (uri) => (await client.readResource({ uri })).contents[0].text;
    report.listed = await read('note://today');
    report.templated = await read('note://Monday/tasks');
    report.missing = await client.readResource({ uri: 'note://nowhere' }).then(() => 'there', (error) => error.code);
    const [name] = report.prompts;
    report.prompt = (await client.getPrompt({ name, arguments: { day: 'Monday' } })).messages[0].content.text;
    const complete = async (ref) => (await client.complete({ ref, argument: { name: 'day', value: 'M' } })).completion.values;
    report.completed = [await complete({ type: 'ref/prompt', name }), await complete({ type: 'ref/resource', uri: report.templates[0] })];
  }
  if (task.refresh) {
    // The access token is forgotten; what remains is the refresh token.
    const before = provider.saved;
    await auth(provider, { serverUrl: task.url });
    report.refreshed = { access: provider.saved.access_token !== before.access_token, refresh: provider.saved.refresh_token !== before.refresh_token };
    report.sumAfterRefresh = await call(client, named('add_numbers'), { a: 20, b: 3 });
  }
  await client.close();
} catch (error) {
  report.error = { name: error.name, message: error.message, code: error.code ?? error.cause?.code };
}
console.log(JSON.stringify(report));
process.exit(0);
