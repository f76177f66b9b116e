// A language model of few words, for hosts that do nothing without one: it calls the tool that the test tells it to, once, and says
// what came of it. Speaks the chat completions that such hosts send to servers of their users' own.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

import { afterwards } from './processes.mjs';

export class Model {
  /** The names of the tools that it was offered last. */
  offered = [];
  /** What tools answered, in order. */
  answers = [];
  #wish;

  static async start(t) {
    const model = new Model();
    const server = createServer(async (request, response) => {
      const asked = JSON.parse(await text(request));
      const reply = model.#reply(asked);
      if (asked.stream) {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        for (const chunk of chunks(reply)) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
        response.end('data: [DONE]\n\n');
      } else {
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ ...HEAD, choices: [{ index: 0, message: reply, finish_reason: finish(reply) }], usage: USAGE }));
      }
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    afterwards(t, () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    model.url = `http://127.0.0.1:${server.address().port}/v1`;
    return model;
  }

  /** What it will do when it is next offered a tool whose name ends so. */
  wish(ending, args) {
    this.#wish = { ending, args };
  }

  #reply({ messages, tools = [] }) {
    const last = messages.at(-1);
    if (last.role === 'tool') {
      this.answers.push(typeof last.content === 'string' ? last.content : last.content.map((part) => part.text).join(''));
      return { role: 'assistant', content: 'Done.' };
    }
    if (tools.length) this.offered = tools.map((tool) => tool.function.name);
    const name = this.offered.find((tool) => this.#wish && tool.endsWith(this.#wish.ending));
    if (!tools.length || !name) return { role: 'assistant', content: 'There is nothing to do.' };
    const { args } = this.#wish;
    this.#wish = undefined;
    const call = { index: 0, id: 'call_1', type: 'function', function: { name, arguments: JSON.stringify(args) } };
    return { role: 'assistant', tool_calls: [call] };
  }
}

const HEAD = { id: 'answer', object: 'chat.completion', created: 0, model: 'scripted' };
const USAGE = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };

const finish = (reply) => (reply.tool_calls ? 'tool_calls' : 'stop');

function chunks(reply) {
  const head = { ...HEAD, object: 'chat.completion.chunk' };
  return [
    { ...head, choices: [{ index: 0, delta: reply, finish_reason: null }] },
    { ...head, choices: [{ index: 0, delta: {}, finish_reason: finish(reply) }], usage: USAGE },
  ];
}
