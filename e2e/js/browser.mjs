// A browser for programs that open one by themselves: our scripted person sits at it.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { node } from './clients.mjs';

/** The browser of the person whose home is `home`. */
export class Browser {
  constructor(home) {
    this.log = join(home, 'browser.log');
    this.folder = join(home, 'bin');
    this.program = join(this.folder, 'xdg-open');
    const person = join(import.meta.dirname, 'person.mjs');
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(this.log, '');
    writeFileSync(this.program, `#!/bin/sh\nunset NODE_OPTIONS\necho "opened $1" >>"${this.log}"\nexec "${node}" "${person}" "$1" --follow >>"${this.log}" 2>&1\n`);
    chmodSync(this.program, 0o755);
  }

  /** What makes a program find it. */
  get env() {
    return { BROWSER: this.program, PATH: `${this.folder}${delimiter}${process.env.PATH}` };
  }

  /** The authorization URLs that it was given. */
  opened() {
    return [...this.printed().matchAll(/^opened (.*)$/gm)].map(([, url]) => url);
  }

  printed() {
    return readFileSync(this.log, 'utf8');
  }
}

/** The environment of a program with a home of its own. */
export function atHome(home) {
  const below = (name) => join(home, name);
  return {
    HOME: home,
    XDG_CONFIG_HOME: below('config'),
    XDG_DATA_HOME: below('data'),
    XDG_STATE_HOME: below('state'),
    XDG_CACHE_HOME: below('cache'),
  };
}
