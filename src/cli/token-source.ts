/**
 * Where `join` has its token from: the first word, else TSFLANNEL_TOKEN; in both `-` is standard input and `@FILE` a
 * file. The text leaves here only when it has the form of a token.
 */
import type { Readable } from 'node:stream';
import { formatToken, parseToken } from '../cluster/token.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { type Environment, usageError } from './given.ts';
import { readInput, readInputFile } from './input-file.ts';

/** A token is 105 characters; this leaves room for white space around it. */
const TOKEN_BYTES_MAX = 4_096;
export const TOKEN_VARIABLE = 'TSFLANNEL_TOKEN';

export interface JoinWords {
  readonly token: string;
  readonly addresses: readonly string[];
}

/** With the variable set, a first word that cannot be a token is an address already. */
export function splitJoinWords(words: readonly string[], environment: Environment): JoinWords {
  const variable = environment[TOKEN_VARIABLE] ?? '';
  const [first, ...rest] = words;
  if (first !== undefined && (variable === '' || /^(tsf1\.|-$|@)/.test(first)))
    return { token: first, addresses: rest };
  if (variable !== '') return { token: variable, addresses: words };
  throw usageError(
    'A token is missing.',
    'Make one with "tsflannel token create" on a voter, then "tsflannel join TOKEN ADDR".',
  );
}

export async function readToken(source: string, stdin: Readable): Promise<string> {
  const text = await sourceText(source, stdin);
  const token = parseToken(text);
  if (token !== undefined) return formatToken(token);
  throw new TsflannelError(
    refuse(
      'malformed-token',
      EXIT.refused,
      'This is not a token of tsflannel, or not the whole of one.',
      'Copy the line again that "tsflannel init" or "tsflannel token create" printed.',
    ),
  );
}

async function sourceText(source: string, stdin: Readable): Promise<string> {
  if (source === '-') return await readInput(stdin, TOKEN_BYTES_MAX);
  return source.startsWith('@') ? await readInputFile(source.slice(1), TOKEN_BYTES_MAX) : source;
}
