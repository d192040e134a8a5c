/**
 * dataplane.json: the last lease snapshot of this host and who it is, beside the database and independent of it, so
 * that the data plane comes up without a quorum and with a damaged database. It serves the data plane only, never
 * Raft. Checksummed; a file that is damaged in any way is the same as none.
 */
import { createHash } from 'node:crypto';
import { readFileBounded, writeFileAtomic } from '../config/atomic-file.ts';
import { LEASES_MAX, STATE_BYTES_MAX } from '../config/limits.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import {
  canonicalJson,
  DecodeError,
  integer,
  ip,
  list,
  nullable,
  oneOf,
  type Parser,
  parseJsonBytes,
  record,
  text,
} from '../config/strict-json.ts';
import { clusterId, epoch, networkConfig } from './command.ts';
import type { LeaseSnapshot, NodeId } from './lease.ts';
import { lease, nodeId } from './lease-codec.ts';

/** 2 knows IPv6; without it the file reads as it did before. */
type FormatVersion = 1 | 2;

export interface LeaseCache {
  readonly clusterId: string;
  readonly epoch: number;
  readonly nodeId: NodeId;
  readonly snapshot: LeaseSnapshot<NetworkConfig>;
}

export function encodeLeaseCache(cache: LeaseCache): string {
  const body = { formatVersion: formatVersion(cache.snapshot), ...cache };
  return `${canonicalJson({ body, sha256: digest(body) })}\n`;
}

/** Undefined for anything that encodeLeaseCache did not write. */
export function decodeLeaseCache(bytes: Uint8Array): LeaseCache | undefined {
  try {
    return cacheFile(parseJsonBytes(bytes, STATE_BYTES_MAX));
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Undefined where there is none or it is damaged. */
export async function readLeaseCache(path: string): Promise<LeaseCache | undefined> {
  const bytes = await readFileBounded(path, STATE_BYTES_MAX);
  return bytes === undefined ? undefined : decodeLeaseCache(bytes);
}

export async function writeLeaseCache(path: string, cache: LeaseCache): Promise<void> {
  await writeFileAtomic(path, encodeLeaseCache(cache), { mode: 0o600 });
}

const snapshot: Parser<LeaseSnapshot<NetworkConfig>> = record((fields) => ({
  index: fields.get('index', integer(0, Number.MAX_SAFE_INTEGER)),
  config: fields.get('config', networkConfig),
  own: fields.get('own', nullable(lease)),
  peers: fields.get('peers', list(lease, LEASES_MAX)),
  memberIps: fields.get('memberIps', list(ip, LEASES_MAX)),
}));

const body: Parser<LeaseCache> = record((fields) => {
  const version = fields.get('formatVersion', oneOf(1, 2));
  const cache = {
    clusterId: fields.get('clusterId', clusterId),
    epoch: fields.get('epoch', epoch),
    nodeId: fields.get('nodeId', nodeId),
    snapshot: fields.get('snapshot', snapshot),
  };
  if (version !== formatVersion(cache.snapshot)) throw new DecodeError('formatVersion: another one');
  return cache;
});

const cacheFile: Parser<LeaseCache> = record((fields) => {
  const { sum, cache } = fields.get('body', (value) => ({ sum: digest(value), cache: body(value) }));
  if (fields.get('sha256', text(/^[0-9a-f]{64}$/)) !== sum) throw new DecodeError('checksum differs');
  return cache;
});

function formatVersion({ config }: LeaseSnapshot<NetworkConfig>): FormatVersion {
  return config.EnableIPv6 ? 2 : 1;
}

function digest(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}
