// Starts programs for a test, keeps what they print, and ends them by their own pid.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

export const artefacts = required('SEKISHO_E2E_ARTEFACTS');
mkdirSync(artefacts, { recursive: true });

const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    for (const child of running) child.kill('SIGINT');
    process.exit(1);
  });
}
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A variable that `cargo xtask e2e` sets. */
export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; hint: \`cargo xtask e2e\``);
  return value;
}

/** A program in the background. What it prints goes to `NAME.log` among the artefacts. */
export class Program {
  constructor(name, command, args, { env = {}, cwd, signal = 'SIGTERM' } = {}) {
    this.name = name;
    this.signal = signal;
    this.log = join(artefacts, `${name}.log`);
    const log = createWriteStream(this.log);
    this.child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.pipe(log, { end: false });
    this.child.stderr.pipe(log, { end: false });
    running.add(this.child);
    this.ended = new Promise((resolve) => {
      this.child.on('error', (error) => {
        running.delete(this.child);
        resolve({ error });
      });
      this.child.on('exit', (code, signal) => {
        running.delete(this.child);
        resolve({ code, signal });
      });
    });
    this.ended.then((how) => (this.how = how));
  }

  /** What it has printed until now. */
  printed() {
    return readFileSync(this.log, 'utf8');
  }

  /** Waits until `condition` gives something; fails when the program ends first or the time is over. */
  async until(what, condition, seconds = 60) {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      if (this.how) throw new Error(`${this.name} ended (${JSON.stringify(this.how)}) before ${what}:\n${this.printed().slice(-4000)}`);
      const found = await condition().catch(() => undefined);
      if (found) return found;
      if (Date.now() > deadline) throw new Error(`${this.name}: no ${what} within ${seconds} s:\n${this.printed().slice(-4000)}`);
      await pause(100);
    }
  }

  /** Asks it to end and waits until it has. */
  async stop(seconds = 20) {
    if (this.how) return this.how;
    this.child.kill(this.signal);
    const late = pause(seconds * 1000, undefined, { ref: false }).then(() => {
      if (!this.how) this.child.kill('SIGKILL');
    });
    const how = await this.ended;
    void late;
    return how;
  }
}

/** Runs a program to its end; gives what it printed. */
export async function run(command, args, { env = {}, cwd, seconds = 120, input } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (...how) => resolve(how));
  }).finally(() => {
    clearTimeout(timer);
    running.delete(child);
  });
  return { code, signal, stdout, stderr };
}

/** TCP ports on the loopback address that nothing uses at this moment. */
export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise((resolve, reject) => {
      const server = net.createServer();
      server.on('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(server));
    })),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Whether something accepts connections at a port of this machine. */
export function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

const endings = new WeakMap();

/** What to do when the test is over; what was begun last ends first. */
export function afterwards(t, ending) {
  if (!endings.has(t)) {
    const stack = [];
    endings.set(t, stack);
    t.after(async () => {
      while (stack.length) await stack.pop()();
    });
  }
  endings.get(t).push(ending);
}

/** A folder that is gone after the test. */
export function scratch(t, prefix = 'sekisho-e2e-') {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  afterwards(t, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
