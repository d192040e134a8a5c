/**
 * Reading and writing JSON that must mean the same on every replica. Reading is strict: every field is named, bounded
 * and typed by the caller, an unknown or missing field is an error that names its path. Writing is canonical: keys
 * sorted, no white space, so that equal values are equal bytes. Pure; the text is hostile until it has passed here.
 */
import { type Cidr, parseCidr } from '../net/cidr.ts';
import { type Ip, parseIp } from '../net/ip.ts';

/** What the reader did not accept, with the path to it. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** Gives the typed value or throws DecodeError. */
export type Parser<T> = (value: unknown) => T;

/** Bytes to a JSON value; UTF-8 is checked, a byte order mark is not JSON. */
export function parseJsonBytes(bytes: Uint8Array, bytesMax: number): unknown {
  if (bytes.length > bytesMax) throw new DecodeError(`longer than ${bytesMax} bytes`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new DecodeError('not JSON in UTF-8', { cause });
  }
}

/** The one text of a value: what JSON.stringify gives, with the keys of every object sorted. */
export function canonicalJson(value: unknown, depthMax: number = DEPTH_MAX): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (depthMax === 0) throw new DecodeError('nested too deeply');
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depthMax - 1)).join(',')}]`;
  const fields = sortedFields(value).map(
    ([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field, depthMax - 1)}`,
  );
  return `{${fields.join(',')}}`;
}

/** The same text in pieces: the first `depth` levels are walked, what lies below them is one piece a value. */
export function* canonicalJsonPieces(value: unknown, depth: number): Generator<string, void> {
  if (depth === 0 || typeof value !== 'object' || value === null) {
    yield canonicalJson(value);
    return;
  }
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  let before = open;
  for (const [key, field] of Array.isArray(value) ? value.map((item) => [null, item]) : sortedFields(value)) {
    yield key === null ? before : `${before}${JSON.stringify(key)}:`;
    yield* canonicalJsonPieces(field, depth - 1);
    before = ',';
  }
  yield before === open ? `${open}${close}` : close;
}

function sortedFields(value: object): [string, unknown][] {
  return Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Nothing of ours is half as deep; the stack of a reader must not depend on the sender. */
const DEPTH_MAX = 16;

/** The fields of one object: each is taken once by name, and `end` refuses what nobody asked for. */
export class Fields {
  readonly #fields: Map<string, unknown>;

  constructor(value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new DecodeError('not an object');
    this.#fields = new Map(Object.entries(value));
  }

  has(key: string): boolean {
    return this.#fields.has(key);
  }

  get<T>(key: string, parse: Parser<T>): T {
    if (!this.#fields.has(key)) throw new DecodeError(`${key}: missing`);
    const value = this.#fields.get(key);
    this.#fields.delete(key);
    return at(key, parse, value);
  }

  end(): void {
    for (const key of this.#fields.keys()) throw new DecodeError(`${key.slice(0, 64)}: unknown field`);
  }
}

/** A parser of an object: reads its fields, then refuses leftovers. */
export function record<T>(read: (fields: Fields) => T): Parser<T> {
  return (value) => {
    const fields = new Fields(value);
    const result = read(fields);
    fields.end();
    return result;
  };
}

export function integer(min: number, max: number): Parser<number> {
  return (value) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max)
      throw new DecodeError(`not an integer in ${min}..${max}`);
    return value + 0; // -0 becomes 0
  };
}

/** The pattern bounds the length as well. */
export function text(pattern: RegExp): Parser<string> {
  return (value) => {
    if (typeof value !== 'string' || !pattern.test(value)) throw new DecodeError(`not text like ${pattern}`);
    return value;
  };
}

export function boolean(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new DecodeError('not true or false');
  return value;
}

export function oneOf<const T extends string | number>(...values: readonly T[]): Parser<T> {
  return (value) => {
    const found = values.find((one) => one === value);
    if (found === undefined) throw new DecodeError(`not one of ${values.join(', ')}`);
    return found;
  };
}

export function nullable<T>(parse: Parser<T>): Parser<T | null> {
  return (value) => (value === null ? null : parse(value));
}

export function list<T>(parse: Parser<T>, lengthMax: number): Parser<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value) || value.length > lengthMax)
      throw new DecodeError(`not a list of at most ${lengthMax}`);
    return value.map((item: unknown, i) => at(String(i), parse, item));
  };
}

/** Only the canonical text of an address is accepted, so that equality stays `===`. */
export function ip(value: unknown): Ip {
  const parsed = typeof value === 'string' ? parseIp(value) : undefined;
  if (parsed === undefined || parsed !== value) throw new DecodeError('not a canonical IP address');
  return parsed;
}

export function cidr(value: unknown): Cidr {
  const parsed = typeof value === 'string' ? parseCidr(value) : undefined;
  if (parsed === undefined || parsed !== value) throw new DecodeError('not a canonical CIDR');
  return parsed;
}

function at<T>(key: string, parse: Parser<T>, value: unknown): T {
  try {
    return parse(value);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DecodeError(`${key}: ${error.message}`, { cause: error });
  }
}
