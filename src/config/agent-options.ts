/**
 * The options of an agent: how they are named, read, checked and stored. What is given, by a flag or its environment
 * variable, wins over what was stored at `init` or `join`, that over the default. What was given is stored; defaults are
 * not, so that they may follow the program and the host. Pure but for the last two functions, which read and write agent.json.
 */
import { isAbsolute } from 'node:path';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import { type Family, type Ip, ipFamily, parseIp, toIp } from '../net/ip.ts';
import { parseInteger } from './address.ts';
import { readFileBounded, writeFileAtomic } from './atomic-file.ts';
import {
  AGENT_OPTIONS_BYTES_MAX,
  NAME_PATTERN,
  PORT_MAX,
  RENEW_MARGIN_MINUTES_MAX,
  RENEW_MARGIN_MINUTES_MIN,
  REPEATED_OPTIONS_MAX,
  RESYNC_SECONDS_MAX,
} from './limits.ts';
import { DEFAULT_PORT } from './ports.ts';
import { canonicalJson, DecodeError, Fields, list, oneOf, parseJsonBytes, text } from './strict-json.ts';

export interface AgentOptions {
  readonly name: string;
  /** Interface names or addresses, in order of preference. */
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: Ip | null;
  readonly publicIp: Ip | null;
  readonly publicIpv6: Ip | null;
  /** UDP for Raft datagrams, TCP for TLS. */
  readonly port: number;
  readonly subnetFile: string;
  readonly ipMasq: boolean;
  readonly ipMasqFullyRandomDisable: boolean;
  readonly iptablesForwardRules: boolean;
  readonly iptablesResyncMs: number;
  readonly ipBlackholeRoute: boolean;
  readonly healthzIp: Ip;
  /** 0 is off. */
  readonly healthzPort: number;
  readonly subnetLeaseRenewMarginMs: number;
}

/** As on the command line, without the dashes in front. */
export const AGENT_OPTION_NAMES = [
  'name',
  'iface',
  'iface-regex',
  'iface-can-reach',
  'public-ip',
  'public-ipv6',
  'port',
  'subnet-file',
  'ip-masq',
  'ip-masq-fully-random-disable',
  'iptables-forward-rules',
  'iptables-resync',
  'ip-blackhole-route',
  'healthz-ip',
  'healthz-port',
  'subnet-lease-renew-margin',
] as const;
export type AgentOptionName = (typeof AGENT_OPTION_NAMES)[number];

/** Each option as it was written, once for every time it was given; a switch without a value is `true`. */
export type RawAgentOptions = Partial<Readonly<Record<AgentOptionName, readonly string[]>>>;

export interface AgentOptionSources {
  /** Flags, or their environment variables. */
  readonly flags: RawAgentOptions;
  readonly stored: RawAgentOptions;
  /** For --name. */
  readonly hostName: string;
}

export type AgentOptionsResult =
  | {
      readonly ok: true;
      readonly options: AgentOptions;
      /** What was given, now or before: the new content of agent.json. */
      readonly given: RawAgentOptions;
    }
  | { readonly ok: false; readonly refusal: Refusal };

/** `TSFLANNEL_SUBNET_FILE` and so on. */
export function environmentName(option: string): string {
  return `TSFLANNEL_${option.toUpperCase().replaceAll('-', '_')}`;
}

/** The options in force, or the first that is wrong. */
export function resolveAgentOptions(sources: AgentOptionSources): AgentOptionsResult {
  const given: RawAgentOptions = { ...sources.stored, ...sources.flags };
  try {
    return { ok: true, options: readOptions(given, sources.hostName), given };
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    const fix = `"tsflannel agent --help" shows what --${error.option} takes.`;
    return { ok: false, refusal: refuse('invalid-option', EXIT.usage, error.message, fix) };
  }
}

class OptionError extends Error {
  readonly option: AgentOptionName;

  constructor(option: AgentOptionName, message: string) {
    super(message);
    this.option = option;
  }
}

function readOptions(given: RawAgentOptions, hostName: string): AgentOptions {
  const read = new OptionReader(given);
  const publicIp = read.ip('public-ip', 4);
  const publicIpv6 = read.ip('public-ipv6', 6);
  return {
    name: read.name('name', hostName),
    iface: read.list('iface'),
    ifaceRegex: read.patterns('iface-regex'),
    ifaceCanReach: read.ip('iface-can-reach'),
    publicIp,
    publicIpv6,
    port: read.integer('port', 1, PORT_MAX, DEFAULT_PORT),
    subnetFile: read.path('subnet-file', '/run/flannel/subnet.env'),
    ipMasq: read.boolean('ip-masq', false),
    ipMasqFullyRandomDisable: read.boolean('ip-masq-fully-random-disable', false),
    iptablesForwardRules: read.boolean('iptables-forward-rules', true),
    iptablesResyncMs: read.integer('iptables-resync', 1, RESYNC_SECONDS_MAX, 5) * 1_000,
    ipBlackholeRoute: read.boolean('ip-blackhole-route', false),
    healthzIp: read.ip('healthz-ip') ?? toIp('127.0.0.1'),
    healthzPort: read.integer('healthz-port', 0, PORT_MAX, 0),
    subnetLeaseRenewMarginMs: read.renewMargin('subnet-lease-renew-margin', 60) * 60_000,
  };
}

/** One option at a time, from text to value. An empty text is "not given", as an empty flag of flannel's is. */
class OptionReader {
  readonly #given: RawAgentOptions;

  constructor(given: RawAgentOptions) {
    this.#given = given;
  }

  list(option: AgentOptionName): readonly string[] {
    const values = (this.#given[option] ?? []).filter((value) => value !== '');
    if (values.length > REPEATED_OPTIONS_MAX)
      throw new OptionError(option, `--${option} may be given at most ${REPEATED_OPTIONS_MAX} times.`);
    return values;
  }

  patterns(option: AgentOptionName): readonly string[] {
    const values = this.list(option);
    const bad = values.find((value) => !isPattern(value));
    if (bad !== undefined) throw wrong(option, 'a regular expression', bad);
    return values;
  }

  name(option: AgentOptionName, fallback: string): string {
    const value = this.#last(option) ?? fallback;
    if (!NAME_PATTERN.test(value))
      throw wrong(option, 'a name of up to 64 letters, digits, dots, dashes and underscores', value);
    return value;
  }

  path(option: AgentOptionName, fallback: string): string {
    const value = this.#last(option) ?? fallback;
    if (!isAbsolute(value) || value.includes('\0')) throw wrong(option, 'an absolute path', value);
    return value;
  }

  ip(option: AgentOptionName, family?: Family): Ip | null {
    const value = this.#last(option);
    if (value === undefined) return null;
    const ip = parseIp(value);
    if (ip === undefined || (family !== undefined && ipFamily(ip) !== family))
      throw wrong(option, `an ${family === undefined ? 'IP' : `IPv${family}`} address`, value);
    return ip;
  }

  boolean(option: AgentOptionName, fallback: boolean): boolean {
    const value = this.#last(option);
    if (value === undefined) return fallback;
    if (/^(1|t|true)$/i.test(value)) return true;
    if (/^(0|f|false)$/i.test(value)) return false;
    throw wrong(option, 'true or false', value);
  }

  integer(option: AgentOptionName, min: number, max: number, fallback: number): number {
    const value = this.#last(option);
    if (value === undefined) return fallback;
    const number = parseInteger(value);
    if (number === undefined || number < min || number > max)
      throw wrong(option, `a number from ${min} to ${max}`, value);
    return number;
  }

  /** flannel's words for a number that is out of range. */
  renewMargin(option: AgentOptionName, fallback: number): number {
    const number = this.integer(option, 0, Number.MAX_SAFE_INTEGER, fallback);
    if (number < RENEW_MARGIN_MINUTES_MIN || number > RENEW_MARGIN_MINUTES_MAX)
      throw new OptionError(option, `Invalid ${option} option, out of acceptable range`);
    return number;
  }

  /** Of an option given twice the last one counts. */
  #last(option: AgentOptionName): string | undefined {
    return this.#given[option]?.at(-1) || undefined;
  }
}

function wrong(option: AgentOptionName, wanted: string, value: string): OptionError {
  return new OptionError(
    option,
    `--${option} must be ${wanted}, not ${JSON.stringify(value.slice(0, 128))}.`,
  );
}

function isPattern(value: string): boolean {
  try {
    new RegExp(value);
    return true;
  } catch {
    return false;
  }
}

const FORMAT_VERSION = 1;

export function formatAgentOptions(given: RawAgentOptions): string {
  return `${canonicalJson({ formatVersion: FORMAT_VERSION, options: given })}\n`;
}

/** Undefined for anything that is not the content of an agent.json: unknown options are refused, values are checked later. */
export function parseAgentOptions(bytes: Uint8Array): RawAgentOptions | undefined {
  try {
    const file = new Fields(parseJsonBytes(bytes, AGENT_OPTIONS_BYTES_MAX));
    file.get('formatVersion', oneOf(FORMAT_VERSION));
    const options = file.get('options', (value) => rawOptions(value));
    file.end();
    return options;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function rawOptions(value: unknown): RawAgentOptions {
  const values = list(text(/^[^\0]{0,4096}$/), REPEATED_OPTIONS_MAX);
  const fields = new Fields(value);
  const raw: Partial<Record<AgentOptionName, readonly string[]>> = {};
  for (const name of AGENT_OPTION_NAMES) if (fields.has(name)) raw[name] = fields.get(name, values);
  fields.end();
  return raw;
}

/** `path` is agent.json in the data directory; none there is nothing stored. Throws TsflannelError for a damaged one. */
export async function readAgentOptions(path: string): Promise<RawAgentOptions> {
  const bytes = await readFileBounded(path, AGENT_OPTIONS_BYTES_MAX);
  if (bytes === undefined) return {};
  const given = parseAgentOptions(bytes);
  if (given !== undefined) return given;
  throw new TsflannelError(
    refuse(
      'damaged-options',
      EXIT.failed,
      `The stored options in ${path} are damaged.`,
      'Delete the file and give the options of this host again.',
    ),
  );
}

export async function writeAgentOptions(path: string, given: RawAgentOptions): Promise<void> {
  await writeFileAtomic(path, formatAgentOptions(given), { mode: 0o600 });
}
