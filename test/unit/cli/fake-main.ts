/**
 * The command line as a real program whose daemon does what FAKE_AGENT says. Run compiled, in a process of its own, by
 * what only a process can show: the process list, signals, `--detach`.
 */
import { writeFileSync } from 'node:fs';
import type { InitReady, Launcher, Ready, Running } from '../../../src/cli/launcher.ts';
import { runCli } from '../../../src/cli/run.ts';
import { EXIT, type ExitCode, refuse, TsflannelError } from '../../../src/errors.ts';
import { initReady, noServices, ready } from './harness.ts';

const mode = process.env['FAKE_AGENT'] ?? 'ready';

function start<R extends Ready>(answer: R): Running<R> {
  const busy = setInterval(() => undefined, 1_000);
  let end: (code: ExitCode) => void = () => undefined;
  const stopped = new Promise<ExitCode>((resolve) => {
    end = resolve;
  });
  const stop = async (): Promise<void> => {
    if (mode === 'stuck') return;
    clearInterval(busy);
    end(EXIT.ok);
  };
  const never = mode === 'silent' || mode === 'stuck';
  return { ready: never ? new Promise(() => undefined) : Promise.resolve(answer), stopped, stop };
}

function refused(): TsflannelError {
  return new TsflannelError(refuse('token-expired', EXIT.refused, 'The token has expired.', 'Make another.'));
}

async function launch<R extends Ready>(answer: R): Promise<Running<R>> {
  if (mode === 'refuse') throw refused();
  if (mode === 'die') process.exit(42);
  if (mode === 'hang') await new Promise((resolve) => setTimeout(resolve, 600_000));
  return start(answer);
}

const launcher: Launcher = {
  init: () => launch<InitReady>(initReady),
  async join({ token }) {
    const seen = process.env['FAKE_SEEN'];
    if (seen !== undefined) writeFileSync(seen, JSON.stringify({ token, argv: process.argv.slice(2) }));
    return await launch(ready);
  },
  agent: () => launch(ready),
};

process.exit(
  await runCli(process.argv, {
    launcher: async () => launcher,
    teardown: async () => ({ removed: [] }),
    recovery: async () => {
      throw new Error('the daemon was loaded');
    },
    services: noServices,
  }),
);
