/**
 * What this host looked like before us: old values of sysctls, and which parts of the filter table were missing. Kept
 * in one small file, written before the change it tells of, so that whoever removes our rules can put back what was
 * there, also after a kill. It is about the kernel as it runs: after a reboot it says nothing.
 */
import { unlink } from 'node:fs/promises';
import { readFileBounded, writeFileAtomic } from '../config/atomic-file.ts';
import {
  boolean,
  canonicalJson,
  DecodeError,
  Fields,
  oneOf,
  type Parser,
  parseJsonBytes,
  record,
  text,
} from '../config/strict-json.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { Family } from '../net/ip.ts';
import type { FilterFound } from './filter-table.ts';
import { SYSCTL_KEY } from './sysctl.ts';

const FORMAT_VERSION = 1;
/** A few lines. */
const FILE_BYTES_MAX: number = 16 << 10;

export interface Found {
  /** Old values by key. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Of each family that we have changed something in. */
  readonly filters: Readonly<Partial<Record<Family, FilterFound>>>;
}

export const NOTHING_FOUND: Found = { sysctls: {}, filters: {} };
export const NOTHING_MISSING: FilterFound = {
  dockerUserMissing: false,
  userJumpMissing: false,
  forwardPolicyAccept: false,
};

/** `bootId` is the kernel's, of the boot that is running. */
export async function readFound(path: string, bootId: string): Promise<Found> {
  const bytes = await readFileBounded(path, FILE_BYTES_MAX);
  if (bytes === undefined) return NOTHING_FOUND;
  try {
    const { bootId: writtenIn, ...found } = foundFile(parseJsonBytes(bytes, FILE_BYTES_MAX));
    return writtenIn === bootId ? found : NOTHING_FOUND;
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    const sentence = `${path}, which holds what the firewall of this host was before, is damaged: ${cause.message}.`;
    const fix =
      'Delete it; the forwarding policy and sysctls that were in force before will not be put back.';
    throw new TsflannelError(refuse('damaged-firewall-file', EXIT.failed, sentence, fix), { cause });
  }
}

export async function writeFound(path: string, bootId: string, found: Found): Promise<void> {
  const content = `${canonicalJson({ formatVersion: FORMAT_VERSION, bootId, ...found })}\n`;
  await writeFileAtomic(path, content, { mode: 0o600, parentMode: 0o755 });
}

export async function forgetFound(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  });
}

const filter: Parser<FilterFound> = record((fields) => ({
  dockerUserMissing: fields.get('dockerUserMissing', boolean),
  userJumpMissing: fields.get('userJumpMissing', boolean),
  forwardPolicyAccept: fields.get('forwardPolicyAccept', boolean),
}));

const foundFile: Parser<Found & { readonly bootId: string }> = record((fields) => {
  fields.get('formatVersion', oneOf(FORMAT_VERSION));
  return {
    bootId: fields.get('bootId', text(/^[0-9a-f-]{0,36}$/)),
    sysctls: fields.get('sysctls', sysctls),
    filters: fields.get('filters', filters),
  };
});

const filters: Parser<Found['filters']> = record((fields) => ({
  ...(fields.has('4') ? { 4: fields.get('4', filter) } : {}),
  ...(fields.has('6') ? { 6: fields.get('6', filter) } : {}),
}));

function sysctls(value: unknown): Readonly<Record<string, string>> {
  const fields = new Fields(value);
  const keys = Object.keys(Object(value)).filter((key) => SYSCTL_KEY.test(key));
  const old = keys.map((key) => [key, fields.get(key, text(/^\d{1,3}$/))] as const);
  fields.end();
  return Object.fromEntries(old);
}
