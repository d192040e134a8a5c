/**
 * The file of `snapshot save`: the replicated state of one cluster at one log index, whole and self-contained, and what
 * the host that saved it knew of the log around it. Holds no key and no secret. A file is believed only as a whole: its
 * digest covers every byte, its state is read by the reader of the state machine's own snapshots. Pure.
 *
 *   "tsflsnap" | version u8 | header length u32 | header | state length u32 | state | SHA-256 of everything before
 *
 * Header and state are canonical JSON.
 */
import { createHash } from 'node:crypto';
import { type ReplicaId, type Term, toTerm } from '../../raft/core/types.ts';
import { ByteReader, ByteWriter, DecodeError as LayoutError } from '../../raft/storage/bytes.ts';
import { MEMBERS_MAX, STATE_BYTES_MAX } from '../config/limits.ts';
import {
  canonicalJson,
  DecodeError,
  integer,
  list,
  type Parser,
  parseJsonBytes,
  record,
  text,
} from '../config/strict-json.ts';
import type { NodeId } from './lease.ts';
import { nodeId } from './lease-codec.ts';
import { replicaId } from './member.ts';
import { type ClusterState, decodeState, encodeState } from './state.ts';

export interface SnapshotFile {
  /** Where and when: wall clock of that host, ISO 8601, for people only. */
  readonly savedBy: NodeId;
  readonly savedAt: string;
  /** How long before that the host had last known its state to be the leader's; ms. */
  readonly staleMs: number;
  /** Of the host's replica. */
  readonly term: Term;
  readonly voters: readonly ReplicaId[];
  readonly state: ClusterState;
}

/** The bytes are not what encodeSnapshotFile wrote. The message says what was found. */
export class SnapshotFileError extends Error {
  override readonly name = 'SnapshotFileError';
}

const MAGIC = Buffer.from('tsflsnap');
const VERSION = 1;
const DIGEST_BYTES = 32;
const HEADER_BYTES_MAX = 256 << 10;
/** Magic, version, two lengths and the digest. */
const FRAME_BYTES = MAGIC.length + 1 + 2 * 4 + DIGEST_BYTES;
/** What a reader has to take in. */
export const SNAPSHOT_FILE_BYTES_MAX: number = FRAME_BYTES + HEADER_BYTES_MAX + STATE_BYTES_MAX;

export function encodeSnapshotFile({ state, ...header }: SnapshotFile): Uint8Array {
  const parts = [Buffer.from(canonicalJson(header)), encodeState(state)];
  const to = new ByteWriter(parts.reduce((sum, part) => sum + part.length, FRAME_BYTES));
  to.raw(MAGIC);
  to.u8(VERSION);
  for (const part of parts) {
    to.u32(part.length);
    to.raw(part);
  }
  to.raw(digest(to.finish()));
  return to.finish();
}

/** Throws SnapshotFileError. */
export function decodeSnapshotFile(bytes: Uint8Array): SnapshotFile {
  try {
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof DecodeError) && !(error instanceof LayoutError)) throw error;
    throw new SnapshotFileError(error.message, { cause: error });
  }
}

function decode(bytes: Uint8Array): SnapshotFile {
  const from = new ByteReader(bytes);
  if (!MAGIC.equals(from.raw(MAGIC.length))) throw new DecodeError('it is not a snapshot of tsflannel');
  const version = from.u8();
  if (version !== VERSION) throw new DecodeError(`its version ${version} is not known here`);
  const body = bytes.subarray(0, Math.max(0, bytes.length - DIGEST_BYTES));
  if (!digest(body).equals(bytes.subarray(body.length))) throw new DecodeError('its checksum is wrong');
  const header = snapshotHeader(parseJsonBytes(from.raw(from.u32()), HEADER_BYTES_MAX));
  const state = decodeState(from.raw(from.u32()));
  from.raw(DIGEST_BYTES);
  from.end();
  if (state === null) throw new DecodeError('it holds no cluster');
  return { ...header, state };
}

const snapshotHeader: Parser<Omit<SnapshotFile, 'state'>> = record((fields) => ({
  savedBy: fields.get('savedBy', nodeId),
  savedAt: fields.get('savedAt', text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)),
  staleMs: fields.get('staleMs', integer(0, Number.MAX_SAFE_INTEGER)),
  term: toTerm(fields.get('term', integer(1, Number.MAX_SAFE_INTEGER))),
  voters: fields.get('voters', list(replicaId, MEMBERS_MAX)),
}));

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
