#!/usr/bin/env node
/** Composition root: gives the command line what only the daemon can do, and ends with its exit code. */
import { runCli } from './cli/run.ts';

const code = await runCli(process.argv, {
  launcher: async () => (await import('./daemon/launcher.ts')).launcher,
  teardown: async (options) => await (await import('./daemon/launcher.ts')).teardown(options),
  recovery: async () => (await import('./daemon/recovery.ts')).recovery,
});
process.exit(code);
