/**
 * Finds the command, gives it its context and turns whatever goes wrong into one sentence and an exit code. Nothing is
 * thrown from here.
 */
import { CommanderError } from 'commander';
import { EXIT, type ExitCode, TsflannelError } from '../errors.ts';
import { programVersion } from '../observe/version.ts';
import { type CliDeps, Context, type Terminal } from './context.ts';
import { type Environment, Given } from './given.ts';
import { DETACHED_VARIABLE, JSON_OUTPUT, LOG_LEVEL } from './options.ts';
import { Output, refusalOf } from './output.ts';
import { buildProgram, normaliseSwitches, usageRefusal } from './program.ts';
import { systemd } from './service-manager.ts';

export async function execute(words: readonly string[], deps: CliDeps): Promise<ExitCode> {
  const terminal = deps.terminal ?? processTerminal();
  const argv = normaliseSwitches(words);
  const { stdout, stderr, environment } = terminal;
  let output = new Output(stdout, stderr, environment, { json: wantsJson(argv, environment), stacks: false });
  let exitCode: ExitCode = EXIT.ok;
  const program = buildProgram(
    programVersion(),
    async (load, command) => {
      const given = new Given(command.optsWithGlobals(), environment);
      const json = given.get(JSON_OUTPUT) ?? false;
      output = new Output(stdout, stderr, environment, { json, stacks: given.get(LOG_LEVEL) === 'debug' });
      const run = await load();
      const services = deps.services ?? systemd;
      exitCode = await run(new Context({ given, output, terminal, services, deps, argv }), command.args);
    },
    {
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => output.remark(text),
      outputError: () => undefined, // said below, in our own form
    },
  );
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    const failure = ownError(error);
    if (failure === undefined) return EXIT.ok;
    if (environment[DETACHED_VARIABLE] !== undefined) await tellParent(environment, failure);
    return output.failure(failure);
  }
}

/** Undefined for what is no failure: help and version were asked for. */
function ownError(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  const refusal = usageRefusal(error);
  return refusal === undefined ? undefined : new TsflannelError(refusal, { cause: error });
}

async function tellParent(environment: Environment, error: unknown): Promise<void> {
  const { parentChannel } = await import('./detach-channel.ts');
  await parentChannel(environment)?.send({ kind: 'failed', refusal: refusalOf(error) });
}

/** For mistakes that are found before the options are read. */
function wantsJson(argv: readonly string[], environment: Environment): boolean {
  if (argv.includes('--json')) return true;
  try {
    return new Given({}, environment).get(JSON_OUTPUT) ?? false;
  } catch {
    return false; // said when the options are read
  }
}

function processTerminal(): Terminal {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok); // the reader, such as `head`, has seen enough
    throw error;
  });
  const { stdin, stdout, stderr, env } = process;
  return { stdin, stdout, stderr, environment: env };
}
