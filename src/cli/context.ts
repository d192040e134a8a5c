/**
 * What a command is given to work with: what the user gave, where to print, the agent to ask, and what main injects.
 * Nothing costly is loaded before a command asks for it.
 */
import type { Readable } from 'node:stream';
import type { Answer, MethodName, Params } from '../control/protocol.ts';
import type { ExitCode } from '../errors.ts';
import type { Log } from '../observe/log.ts';
import type { LogLevel } from '../observe/log-level.ts';
import type { Environment, Given } from './given.ts';
import type { Directories, Launcher, Teardown } from './launcher.ts';
import {
  DATA_DIR,
  DEFAULT_DATA_DIR,
  DEFAULT_RUN_DIR,
  DEFAULT_TIMEOUT_MS,
  LOG_FORMAT,
  LOG_LEVEL,
  RUN_DIR,
  TIMEOUT,
} from './options.ts';
import { hasColours, type Output, type Sink } from './output.ts';
import type { Recovery } from './recovery.ts';
import type { ServiceManager } from './service-manager.ts';

export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean | undefined };
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly environment: Environment;
}

/** What main injects. The launcher is loaded only by what starts an agent. */
export interface CliDeps {
  readonly launcher: () => Promise<Launcher>;
  readonly teardown: Teardown;
  readonly recovery: () => Promise<Recovery>;
  /** The process's own, and systemd, unless a test gives others. */
  readonly terminal?: Terminal;
  readonly services?: ServiceManager;
}

export type CommandFunction = (context: Context, args: readonly string[]) => Promise<ExitCode>;

export interface ContextParts {
  readonly given: Given;
  readonly output: Output;
  readonly terminal: Terminal;
  readonly services: ServiceManager;
  readonly deps: CliDeps;
  /** The words after the program's name. */
  readonly argv: readonly string[];
}

export class Context {
  readonly given: Given;
  readonly output: Output;
  readonly terminal: Terminal;
  readonly services: ServiceManager;
  readonly deps: CliDeps;
  readonly argv: readonly string[];

  constructor(parts: ContextParts) {
    this.given = parts.given;
    this.output = parts.output;
    this.terminal = parts.terminal;
    this.services = parts.services;
    this.deps = parts.deps;
    this.argv = parts.argv;
  }

  get directories(): Directories {
    return {
      dataDir: this.given.get(DATA_DIR) ?? DEFAULT_DATA_DIR,
      runDir: this.given.get(RUN_DIR) ?? DEFAULT_RUN_DIR,
    };
  }

  timeoutMs(byDefault: number = DEFAULT_TIMEOUT_MS): number {
    return this.given.get(TIMEOUT) ?? byDefault;
  }

  /** Asks the agent of this host. Throws TsflannelError: exit 5 without one, 8 without an answer. */
  async ask<M extends MethodName>(
    method: M,
    params: Params<M>,
    timeoutMs: number = this.timeoutMs(),
  ): Promise<Answer<M>> {
    const { call } = await import('../control/client.ts');
    return await call(this.directories.runDir, method, params, { timeoutMs });
  }

  /** To standard error. */
  async log(byDefault: LogLevel = 'info'): Promise<Log> {
    const { createLog } = await import('../observe/log.ts');
    const { stderr, environment } = this.terminal;
    const format = this.given.get(LOG_FORMAT) ?? (stderr.isTTY === true ? 'pretty' : 'json');
    const level = this.given.get(LOG_LEVEL) ?? byDefault;
    return createLog({ level, format, colours: hasColours(stderr, environment) }, stderr);
  }
}
