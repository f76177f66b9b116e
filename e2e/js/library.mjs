// A client that is a library in a small program of ours: it gets one JSON argument, prints a line of JSON when it has logged in, listed
// and called, waits for a line, calls again and prints another.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { node, surroundings } from './clients.mjs';
import { afterwards, required } from './processes.mjs';

const here = import.meta.dirname;
const openid = (generation) => [node, ['--import', join(here, 'modules.mjs'), join(here, `openid-client-${generation}.mjs`)]];

/** The programs, by the name of the library. */
const programs = {
  'mcp 1.x': () => [required('SEKISHO_E2E_PYTHON_MCP1'), [join(here, '..', 'python', 'client1.py')]],
  'openid-client 5': () => openid(5),
  'openid-client 6': () => openid(6),
};

export class Library {
  static of = (name) => ({ start: (t, place, identity) => new Library(name).#start(t, place, identity) });

  constructor(name) {
    this.name = name;
  }

  async #start(t, place, { clientMetadataUrl }) {
    const task = {
      url: place.mcp_endpoint,
      issuer: place.issuer,
      clientMetadataUrl,
      redirectUri: 'http://127.0.0.1:6274/oauth/callback',
      node,
      person: join(here, 'person.mjs'),
    };
    const [command, args] = programs[this.name]();
    const env = { ...process.env, ...surroundings(place) };
    this.child = spawn(command, [...args, JSON.stringify(task)], { env, stdio: 'pipe' });
    this.said = '';
    this.child.stderr.on('data', (data) => (this.said += data));
    const ended = new Promise((resolve) => this.child.once('close', resolve));
    afterwards(t, () => {
      this.child.kill('SIGKILL');
      return ended;
    });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.first = await this.#report();
    this.latest = this.first;
    return this;
  }

  async #report() {
    const { value } = await this.lines.next();
    if (!value) throw new Error(`${this.name} ended without a report:\n${this.said}`);
    const report = JSON.parse(value);
    if (report.error) throw new Error(`${this.name}: ${report.error}\n${this.said}`);
    return report;
  }

  tools() {
    return this.first.tools;
  }

  async add(a, b) {
    this.child.stdin.write(`${JSON.stringify({ a, b })}\n`);
    this.latest = await this.#report();
    return this.latest.sum;
  }

  accessToken() {
    return this.latest.accessToken;
  }

  opened() {
    return this.latest.opened;
  }
}
