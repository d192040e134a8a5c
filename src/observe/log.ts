/**
 * The log of an agent: structured events on stderr, JSON for machines or one readable line each. The name of an event
 * (`event`) is stable; the sentence beside it is for people and may change. Written in this process, never by a worker
 * thread, which would cost 20 MB. What must not be read by others (secret, token, private key) is cut out by name here,
 * as the last of the places that see to it.
 */
import { pino } from 'pino';
import type { LogFormat, LogLevel } from './log-level.ts';
import { type LineSink, prettyStream } from './log-pretty.ts';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  error(event: string, text: string, fields?: LogFields): void;
  warn(event: string, text: string, fields?: LogFields): void;
  info(event: string, text: string, fields?: LogFields): void;
  debug(event: string, text: string, fields?: LogFields): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly colours: boolean;
}

const SECRET_FIELDS = ['secret', 'token', 'caKey', 'privateKey', 'key'];

/** Synchronous, so that the last line before an exit is not lost. */
export function createLog(options: LogOptions, sink: LineSink): Log {
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'text',
      redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]), remove: true },
    },
    options.format === 'json' ? sink : prettyStream(sink, options.colours),
  );
  const write =
    (level: LogLevel) =>
    (event: string, text: string, fields: LogFields = {}): void =>
      logger[level]({ ...fields, event }, text);
  return { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') };
}
