// Answers for host names of tests instead of DNS: every name below SEKISHO_E2E_DOMAIN is this machine.
import dns from 'node:dns';

const domain = process.env.SEKISHO_E2E_DOMAIN;
if (domain) {
  const real = dns.lookup;
  dns.lookup = (name, options, callback) => {
    const done = callback ?? options;
    const all = typeof options === 'object' && options?.all;
    if (name === domain || name.endsWith(`.${domain}`)) {
      return process.nextTick(() => (all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)));
    }
    return callback ? real(name, options, callback) : real(name, options);
  };
}
