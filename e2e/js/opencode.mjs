// opencode, from its command line: `mcp auth` logs in, `run` gives its model the tools. Each command is a process of its own.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { atHome, Browser } from './browser.mjs';
import { surroundings } from './clients.mjs';
import { Model } from './model.mjs';
import { freePorts, required, run, scratch } from './processes.mjs';

const program = join(required('SEKISHO_E2E_MODULES'), 'node_modules', 'opencode-linux-x64-baseline', 'bin', 'opencode');

export class Opencode {
  static async start(t, place, { clientMetadataUrl }) {
    const opencode = new Opencode(scratch(t), place, await Model.start(t));
    const [callbackPort] = await freePorts(1);
    opencode.#configure({
      autoupdate: false,
      share: 'disabled',
      snapshot: false,
      permission: { '*': 'allow' },
      model: 'scripted/scripted',
      small_model: 'scripted/scripted',
      provider: {
        scripted: {
          npm: '@ai-sdk/openai-compatible',
          options: { baseURL: opencode.model.url, apiKey: 'none' },
          models: { scripted: { tool_call: true, limit: { context: 100_000, output: 1000 } } },
        },
      },
      mcp: { demo: { type: 'remote', url: place.mcp_endpoint, oauth: { callbackPort, ...(clientMetadataUrl ? { clientId: clientMetadataUrl } : {}) } } },
    });
    await opencode.#succeed(['mcp', 'auth', 'demo']);
    return opencode;
  }

  constructor(home, place, model) {
    Object.assign(this, { home, place, model, browser: new Browser(home) });
  }

  #configure(configuration) {
    const folder = join(this.home, 'config', 'opencode');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'opencode.json'), JSON.stringify(configuration));
  }

  async #succeed(args) {
    const env = {
      ...surroundings(this.place),
      ...atHome(this.home),
      ...this.browser.env,
      // Where it works is what this says, not where it was started.
      PWD: this.home,
      OPENCODE_DISABLE_AUTOUPDATE: 'true',
      OPENCODE_DISABLE_MODELS_FETCH: 'true',
      OPENCODE_DISABLE_DEFAULT_PLUGINS: 'true',
      OPENCODE_DISABLE_LSP_DOWNLOAD: 'true',
    };
    const { code, stdout, stderr } = await run(program, [...args, '--print-logs'], { env, cwd: this.home, seconds: 90 });
    if (code !== 0) throw new Error(`opencode ${args.join(' ')} ended with ${code}:\n${stdout.slice(-1000)}\n${stderr.slice(-4000)}\n${this.browser.printed()}`);
    return `${stdout}\n${stderr}`;
  }

  /** The names that the model was offered, which opencode prefixes with the server's. */
  tools() {
    return this.model.offered.filter((name) => name.startsWith('demo_')).map((name) => name.slice('demo_'.length));
  }

  async add(a, b) {
    this.model.wish('add_numbers', { a, b });
    const before = this.model.answers.length;
    const said = await this.#succeed(['run', `Add ${a} and ${b}.`]);
    if (this.model.answers.length === before) throw new Error(`no tool was called:\n${said.slice(-4000)}`);
    return this.model.answers.at(-1);
  }

  accessToken() {
    const { demo } = JSON.parse(readFileSync(join(this.home, 'data', 'opencode', 'mcp-auth.json'), 'utf8'));
    return demo.tokens.accessToken;
  }

  opened() {
    return this.browser.opened();
  }
}
