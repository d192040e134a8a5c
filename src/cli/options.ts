/**
 * The options of the command line as data: name, what it takes, how its text is read. Every long option is also the
 * environment variable TSFLANNEL_<NAME>; a flag wins over it. Reading is left to `Given`, so that a bad value is refused
 * in one place and names where it came from. The options that belong to one command only stand in its own file.
 */

import type { Address } from '../config/address.ts';
import { parseAddressList, parseDuration, parseInteger } from '../config/address.ts';
import { type Cidr, cidrFamily, parseCidr } from '../net/cidr.ts';
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from '../observe/log-level.ts';

export interface OptionHelp {
  /** Without the dashes. */
  readonly name: string;
  /** What it takes, as the help shows it; null for a switch, which also takes `=true` and `=false`. */
  readonly hint: string | null;
  readonly help: string;
  /** May be given several times. */
  readonly repeatable?: boolean;
}

export interface OptionSpec<T> extends OptionHelp {
  /** What a good value is, to be read after "is not". */
  readonly expected: string;
  /** Undefined for text that is no good value. */
  readonly parse: (text: string) => T | undefined;
}

export function environmentName(name: string): string {
  return `TSFLANNEL_${name.toUpperCase().replaceAll('-', '_')}`;
}

export function switchOption(name: string, help: string): OptionSpec<boolean> {
  return { name, hint: null, help, expected: 'true or false', parse: parseBoolean };
}

export function textOption(name: string, hint: string, help: string): OptionSpec<string> {
  return { name, hint, help, expected: 'a value', parse: (text) => (text === '' ? undefined : text) };
}

export function wordOption<const T extends string>(
  name: string,
  words: readonly T[],
  help: string,
): OptionSpec<T> {
  return {
    name,
    hint: words.join('|'),
    help,
    expected: `one of ${words.join(', ')}`,
    parse: (text) => words.find((word) => word === text),
  };
}

export function durationOption(name: string, help: string): OptionSpec<number> {
  return { name, hint: 'DUR', help, expected: 'a duration such as 10s or 1h30m', parse: parseDuration };
}

export function integerOption(
  name: string,
  [min, max]: readonly [number, number],
  help: string,
): OptionSpec<number> {
  const parse = (text: string): number | undefined => {
    const value = parseInteger(text);
    return value === undefined || value < min || value > max ? undefined : value;
  };
  return { name, hint: 'N', help, expected: `a number from ${min} to ${max}`, parse };
}

/** At most one of each family. */
export function subnetsOption(name: string, help: string): OptionSpec<readonly Cidr[]> {
  const expected =
    'a network such as 10.5.42.0/24, or one of each family as in 10.5.42.0/24,fd00:5:0:42::/64';
  return { name, hint: 'CIDR[,CIDR]', help, expected, parse: parseSubnets };
}

function parseSubnets(text: string): readonly Cidr[] | undefined {
  const subnets = text.split(',').map((item) => parseCidr(item.trim()));
  const families = new Set(subnets.map((subnet) => subnet && cidrFamily(subnet)));
  const found = subnets.filter((subnet) => subnet !== undefined);
  return found.length === subnets.length && families.size === subnets.length ? found : undefined;
}

export function addressesOption(name: string, help: string): OptionSpec<readonly Address[]> {
  const expected = 'a comma list of addresses (IP, IP:PORT or [IPv6]:PORT)';
  return { name, hint: 'ADDR,...', help, expected, parse: parseAddressList };
}

/** As Go's flags take them, which flannel's users know. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(1|t|true)$/i.test(text)) return true;
  return /^(0|f|false)$/i.test(text) ? false : undefined;
}

function parseTimeout(text: string): number | undefined {
  const ms = parseDuration(text);
  return ms === undefined || ms > TIMEOUT_MS_MAX ? undefined : ms;
}

export const DATA_DIR: OptionSpec<string> = textOption(
  'data-dir',
  'DIR',
  'state of this host (default /var/lib/tsflannel)',
);
export const RUN_DIR: OptionSpec<string> = textOption(
  'run-dir',
  'DIR',
  'control socket, pid, log (default /run/tsflannel)',
);
export const JSON_OUTPUT: OptionSpec<boolean> = switchOption('json', 'one JSON document on standard output');
export const TIMEOUT: OptionSpec<number> = {
  ...durationOption('timeout', 'how long to wait for an agent (default 10s; --wait and --detach 60s)'),
  expected: 'a duration such as 10s, up to 1h',
  parse: parseTimeout,
};
export const LOG_LEVEL: OptionSpec<LogLevel> = wordOption('log-level', LOG_LEVELS, 'default info');
export const LOG_FORMAT: OptionSpec<LogFormat> = wordOption(
  'log-format',
  LOG_FORMATS,
  'default pretty on a terminal, else json',
);

export const GLOBAL_OPTIONS: readonly OptionSpec<unknown>[] = [
  DATA_DIR,
  RUN_DIR,
  JSON_OUTPUT,
  TIMEOUT,
  LOG_LEVEL,
  LOG_FORMAT,
];

export const DEFAULT_DATA_DIR = '/var/lib/tsflannel';
export const DEFAULT_RUN_DIR = '/run/tsflannel';
/** What an agent lets a caller wait. */
const TIMEOUT_MS_MAX = 3_600_000;
export const DEFAULT_TIMEOUT_MS = 10_000;
/** For what waits for something to become true: `--wait`, `--detach`. */
export const DEFAULT_WAIT_MS = 60_000;

/** No option: `--detach` sets it for the process that it leaves behind, to say that somebody listens on the channel. */
export const DETACHED_VARIABLE = 'TSFLANNEL_DETACHED';
