// Finds npm packages where `cargo xtask e2e` has installed them, so that nothing is installed into the work tree.
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

const folder = process.env.SEKISHO_E2E_MODULES;
if (!folder) throw new Error('SEKISHO_E2E_MODULES is not set; hint: `cargo xtask e2e`');
const parentURL = pathToFileURL(`${folder}/package.json`).href;

registerHooks({
  resolve(specifier, context, next) {
    const isBare = !/^(\.|\/|node:|file:|data:)/.test(specifier);
    const isOurs = !context.parentURL?.includes('/node_modules/');
    return isBare && isOurs ? next(specifier, { ...context, parentURL }) : next(specifier, context);
  },
});
