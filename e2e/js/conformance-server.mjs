// A server on the official TypeScript SDK with everything that the official suite looks for. `node conformance-server.mjs PORT ERAS`:
// ERAS is `both`, `session` or `stateless`. What asks for input is written once: the SDK pushes requests in sessions.
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import {
  CLIENT_CAPABILITIES_META_KEY, McpServer, ResourceTemplate, acceptedContent, createMcpHandler, createRequestStateCodec, fromJsonSchema,
  inputRequired, isLegacyRequest, validateHostHeader,
} from '@modelcontextprotocol/server';

const [port, eras = 'both'] = [Number(process.argv[2]), process.argv[3]];
const LIMIT = 4 * 1024 * 1024;

// One pixel, and no sound at all.
const IMAGE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=';
const SOUND = Buffer.concat([
  Buffer.from('RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0', 'latin1'), Buffer.from([0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0]),
  Buffer.from('data\0\0\0\0', 'latin1'),
]).toString('base64');

const text = (value) => ({ type: 'text', text: value });
const say = (...content) => ({ content: content.map((one) => (typeof one === 'string' ? text(one) : one)) });
const embedded = (uri, mimeType, value) => ({ type: 'resource', resource: { uri, mimeType, text: value } });
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const object = (properties = {}, required = Object.keys(properties)) => ({ type: 'object', properties, required });

const states = createRequestStateCodec({ key: createHmac('sha256', randomBytes(32)).update('states').digest() });
/** A state that nobody can make up. */
const state = (value) => states.mint({ ...value, once: randomUUID() });

const form = (message, properties, required) => inputRequired.elicit({ message, requestedSchema: object(properties, required) });
const sample = (question, maxTokens = 50) => inputRequired.createMessage({
  messages: [{ role: 'user', content: text(question) }], maxTokens,
});
const NAME = { name: { type: 'string' } };

/** Asks until what was asked for is there. */
const once = (ask, done) => async (args, ctx) => {
  const given = ctx.mcpReq.inputResponses;
  return given === undefined ? inputRequired(await ask(args, ctx)) : done(given, ctx, args);
};

/** A form whose outcome the tool tells. */
const told = (key, message, properties, required) => once(
  () => ({ inputRequests: { [key]: form(message, properties, required) } }),
  ({ [key]: answer }) => say(`Answered: action=${answer?.action}, content=${JSON.stringify(answer?.content ?? {})}`),
);

const DEFAULTS = {
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
};
const titled = (of) => of.map(([value, title]) => ({ const: value, title }));
const CHOICES = {
  untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
  titledSingle: { type: 'string', oneOf: titled([['value1', 'First Option'], ['value2', 'Second Option'], ['value3', 'Third Option']]) },
  legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
  untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
  titledMulti: { type: 'array', items: { anyOf: titled([['value1', 'First Choice'], ['value2', 'Second Choice'], ['value3', 'Third Choice']]) } },
};

/** What a client of either era declared. */
const declaredBy = (server, ctx) => ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? server.server.getClientCapabilities() ?? {};

const log = async (ctx) => {
  for (const step of ['started', 'under way', 'done']) {
    await ctx.mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data: `It is ${step}` } });
    await pause(20);
  }
  return say('There were three messages.');
};

const progress = async (ctx) => {
  const progressToken = ctx.mcpReq._meta?.progressToken;
  for (const done of progressToken === undefined ? [] : [0, 50, 100]) {
    await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: done, total: 100 } });
    await pause(20);
  }
  return say('All of it.');
};

/** Two rounds; how far it is stands in the state. */
const rounds = async (_args, ctx) => {
  const { round = 0, name } = ctx.mcpReq.requestState() ?? {};
  const given = ctx.mcpReq.inputResponses;
  if (round === 0) return inputRequired({ inputRequests: { step1: form('Your name?', NAME) }, requestState: await state({ round: 1 }) });
  if (round === 1) {
    const entered = acceptedContent(given, 'step1')?.name ?? 'nobody';
    return inputRequired({
      inputRequests: { step2: form('Your colour?', { color: { type: 'string' } }) }, requestState: await state({ round: 2, name: entered }),
    });
  }
  return say(`${name} likes ${acceptedContent(given, 'step2')?.color}`);
};

/** Needs a state of ours beside the answer. */
const confirmed = async (_args, ctx) => {
  const isHere = ctx.mcpReq.requestState() !== undefined && acceptedContent(ctx.mcpReq.inputResponses, 'confirm') !== undefined;
  return isHere ? say('state-ok') : inputRequired({
    inputRequests: { confirm: form('Go on?', { ok: { type: 'boolean' } }) }, requestState: await state({}),
  });
};

const severally = async (_args, ctx) => {
  const { greeting, client_roots: roots } = ctx.mcpReq.inputResponses ?? {};
  const name = acceptedContent(ctx.mcpReq.inputResponses, 'user_name')?.name;
  if (name !== undefined && greeting !== undefined && roots !== undefined) return say(`${greeting.content?.text}, ${name}; ${roots.roots.length} roots`);
  return inputRequired({
    inputRequests: { user_name: form('Your name?', NAME), greeting: sample('A greeting, please'), client_roots: inputRequired.listRoots() },
    requestState: await state({}),
  });
};

const asDeclared = (server) => once((_args, ctx) => {
  const declared = declaredBy(server, ctx);
  const wanted = {
    ...(declared.elicitation && { user_name: form('Your name?', NAME) }),
    ...(declared.sampling && { greeting: sample('A greeting, please') }),
    ...(declared.roots && { client_roots: inputRequired.listRoots() }),
  };
  return { inputRequests: wanted };
}, (given) => say(`Given: ${Object.keys(given)}`));

const nameOf = async (_args, ctx) => {
  const name = acceptedContent(ctx.mcpReq.inputResponses, 'user_name')?.name;
  return typeof name === 'string' ? say(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: form('Your name?', NAME) } });
};

const PEOPLE = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};
const REGION = { type: 'object', properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, level: { type: 'integer' } } };

/** How often the lists changed: that stands in them, since who keeps a list tells others of it only if it is another one. */
const changes = { tools: 0, prompts: 0 };
const change = (list, tell) => {
  changes[list] += 1;
  tell();
  return say('Told.');
};

/** Says something, ends the stream of its call, and answers on the one that the client opens instead. */
const reconnect = async (ctx) => {
  await ctx.mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data: 'Away for a moment' } });
  sessions.get(ctx.sessionId)?.transport.closeSSEStream(ctx.mcpReq.id);
  await pause(100);
  return say('Here again.');
};

const TOOLS = (server) => ({
  test_simple_text: [object(), () => say('This is a simple text response for testing.')],
  test_image_content: [object(), () => say({ type: 'image', data: IMAGE, mimeType: 'image/png' })],
  test_audio_content: [object(), () => say({ type: 'audio', data: SOUND, mimeType: 'audio/wav' })],
  test_embedded_resource: [object(), () => say(embedded('test://embedded-resource', 'text/plain', 'Embedded.'))],
  test_multiple_content_types: [object(), () => say(
    'Several:', { type: 'image', data: IMAGE, mimeType: 'image/png' }, embedded('test://mixed-content-resource', 'application/json', '{"test":"data"}'),
  )],
  test_tool_with_logging: [object(), (_args, ctx) => log(ctx)],
  test_tool_with_progress: [object(), (_args, ctx) => progress(ctx)],
  test_error_handling: [object(), () => { throw new Error('This tool intentionally returns an error for testing'); }],
  test_reconnection: [object(), (_args, ctx) => reconnect(ctx)],
  test_sampling: [object({ prompt: { type: 'string' } }), once(
    ({ prompt }) => ({ inputRequests: { answer: sample(prompt, 100) } }), ({ answer }) => say(`LLM response: ${answer?.content?.text}`),
  )],
  test_elicitation: [object({ message: { type: 'string' } }), once(
    ({ message }) => ({ inputRequests: { answer: form(message, { response: { type: 'string' } }) } }),
    ({ answer }) => say(`User response: action=${answer?.action}, content=${JSON.stringify(answer?.content ?? {})}`),
  )],
  test_elicitation_sep1034_defaults: [object(), told('answer', 'Please look over these', DEFAULTS, [])],
  test_elicitation_sep1330_enums: [object(), told('answer', 'Please choose', CHOICES, [])],
  json_schema_2020_12_tool: [PEOPLE, (args) => say(JSON.stringify(args))],
  test_x_mcp_header: [REGION, ({ region }) => say(`region=${region}`)],
  test_missing_capability: [object(), once(() => ({ inputRequests: { answer: sample('Say pong') } }), () => say('pong'))],
  test_streaming_elicitation: [object(), () => say('Nothing but a result.')],
  test_logging_tool: [object(), async (_args, ctx) => { await ctx.mcpReq.log('info', 'It ran'); return say('Logged.'); }],
  test_trigger_tool_change: [object(), () => change('tools', () => stateless.notify.toolsChanged())],
  test_trigger_prompt_change: [object(), () => change('prompts', () => stateless.notify.promptsChanged())],
  test_input_required_result_elicitation: [object(), nameOf],
  test_input_required_result_sampling: [object(), once(
    () => ({ inputRequests: { capital_question: sample('What is the capital of France?', 100) } }),
    ({ capital_question: answer }) => say(`Sampled: ${answer?.content?.text}`),
  )],
  test_input_required_result_list_roots: [object(), once(
    () => ({ inputRequests: { client_roots: inputRequired.listRoots() } }),
    ({ client_roots: answer }) => say(`Roots: ${answer?.roots?.map(({ uri }) => uri)}`),
  )],
  test_input_required_result_request_state: [object(), confirmed],
  test_input_required_result_tampered_state: [object(), confirmed],
  test_input_required_result_multiple_inputs: [object(), severally],
  test_input_required_result_multi_round: [object(), rounds],
  test_input_required_result_capabilities: [object(), asDeclared(server)],
});

const message = (...content) => ({ messages: content.map((one) => ({ role: 'user', content: typeof one === 'string' ? text(one) : one })) });
const context = async (ctx) => {
  const entered = acceptedContent(ctx.mcpReq.inputResponses, 'user_context')?.context;
  return typeof entered === 'string' ? message(`In the context of ${entered}.`)
    : inputRequired({ inputRequests: { user_context: form('In which context?', { context: { type: 'string' } }) } });
};
const PROMPTS = {
  test_simple_prompt: [undefined, () => message('This is a simple prompt for testing.')],
  test_prompt_with_arguments: [object({ arg1: { type: 'string' }, arg2: { type: 'string' } }), ({ arg1, arg2 }) => message(`arg1='${arg1}', arg2='${arg2}'`)],
  test_prompt_with_embedded_resource: [
    object({ resourceUri: { type: 'string' } }), ({ resourceUri }) => message(embedded(resourceUri, 'text/plain', 'Embedded.'), 'Please look at it.'),
  ],
  test_prompt_with_image: [undefined, () => message({ type: 'image', data: IMAGE, mimeType: 'image/png' }, 'Please look at it.')],
  test_input_required_result_prompt: [undefined, context],
};
const RESOURCES = {
  'test://static-text': { mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
  'test://static-binary': { mimeType: 'image/png', blob: IMAGE },
  'test://watched-resource': { mimeType: 'text/plain', text: 'Watched resource content' },
};

function everything() {
  const server = new McpServer({ name: 'conformance', version: '1.0.0' }, {
    capabilities: {
      tools: { listChanged: true }, prompts: { listChanged: true }, resources: { subscribe: true, listChanged: true }, logging: {}, completions: {},
    },
    requestState: { verify: states.verify },
  });
  for (const [name, [schema, run]] of Object.entries(TOOLS(server))) {
    const description = `Does what ${name} is to do; change ${changes.tools}`;
    server.registerTool(name, { description, inputSchema: fromJsonSchema(schema) }, async (args, ctx) => run(args, ctx));
  }
  for (const [name, [schema, run]] of Object.entries(PROMPTS)) {
    const argsSchema = schema && fromJsonSchema(schema);
    server.registerPrompt(name, { description: `Says what ${name} is to say; change ${changes.prompts}`, argsSchema }, async (...given) => run(...given));
  }
  for (const [uri, content] of Object.entries(RESOURCES)) {
    server.registerResource(uri.slice('test://'.length), uri, { mimeType: content.mimeType }, async () => ({ contents: [{ uri, ...content }] }));
  }
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  server.registerResource('template', template, { mimeType: 'application/json' }, async (uri, { id }) => ({
    contents: [{ uri: uri.href, mimeType: 'application/json', text: JSON.stringify({ id }) }],
  }));
  for (const method of ['resources/subscribe', 'resources/unsubscribe', 'logging/setLevel']) server.server.setRequestHandler(method, async () => ({}));
  server.server.setRequestHandler('completion/complete', async () => ({ completion: { values: ['one'], total: 1, hasMore: false } }));
  return server;
}

const stateless = createMcpHandler(everything, { legacy: 'reject' });
const answerStateless = toNodeHandler(stateless);

/** Sessions by id: a transport each, with the events of its streams. */
const sessions = new Map();

function events() {
  const kept = [];
  return {
    storeEvent: async (streamId, event) => `${kept.push({ streamId, event })}`,
    replayEventsAfter: async (last, { send }) => {
      const { streamId } = kept[Number(last) - 1];
      for (const [at, one] of kept.entries()) {
        if (at >= Number(last) && one.streamId === streamId && Object.keys(one.event ?? {}).length > 0) await send(`${at + 1}`, one.event);
      }
      return streamId;
    },
  };
}

async function newSession() {
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: events(),
    retryInterval: 500,
    onsessioninitialized: (id) => sessions.set(id, { transport }),
  });
  transport.onclose = () => sessions.delete(transport.sessionId);
  await everything().connect(transport);
  return transport;
}

const refuse = (response, status, code, reason) => response.writeHead(status, { 'content-type': 'application/json' })
  .end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message: reason } }));

async function answerSession(request, response, body) {
  const id = request.headers['mcp-session-id'];
  if (id !== undefined) {
    const known = sessions.get(id);
    return known ? known.transport.handleRequest(request, response, body) : refuse(response, 404, -32001, 'Session not found');
  }
  if (body?.method !== 'initialize') return refuse(response, 400, -32000, 'Bad Request: no session id');
  return (await newSession()).handleRequest(request, response, body);
}

async function read(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > LIMIT) throw new Error('too large');
    pieces.push(piece);
  }
  return pieces.length > 0 ? JSON.parse(Buffer.concat(pieces).toString()) : undefined;
}

async function answer(request, response) {
  if (!validateHostHeader(request.headers.host, ['localhost', '127.0.0.1', '[::1]']).ok) return refuse(response, 403, -32000, 'a foreign host');
  if (request.url !== '/mcp') return response.writeHead(404).end();
  const body = request.method === 'POST' ? await read(request) : undefined;
  const headers = new Headers(Object.entries(request.headers).filter(([, value]) => typeof value === 'string'));
  const asWeb = new Request(`http://localhost${request.url}`, { method: request.method, headers, body: body && JSON.stringify(body) });
  const isLegacy = eras === 'session' || (eras === 'both' && await isLegacyRequest(asWeb));
  return isLegacy ? answerSession(request, response, body) : answerStateless(request, response, body);
}

createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) refuse(response, 400, -32700, 'not understood');
  });
}).listen(port, '127.0.0.1', () => console.log(`listening on ${port}`));
