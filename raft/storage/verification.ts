/**
 * Reads the records of a whole Raft database and believes none of them before they fit together: identity, checksums,
 * the chain of entries from the recorded start to the recorded end, the snapshot's digest, and nothing in it that nobody
 * wrote, and no newest writes that are missing (fence.ts). Pure, and never repairs. What does not verify is a StorageDamagedError that says what was found where.
 */
import { createHash } from 'node:crypto';
import { type Entry, type EntryId, InvariantError, type Snapshot } from '../core/types.ts';
import { DecodeError } from './bytes.ts';
import { decodeFence, type FenceSlot, verifyFence } from './fence.ts';
import {
  chunkCount,
  chunkGeneration,
  chunkKey,
  decodeIdentity,
  decodeLogRecord,
  decodeSeen,
  decodeSnapshotRecord,
  decodeState,
  IDENTITY_KEY,
  isLogKey,
  type Link,
  logKey,
  SEEN_KEY,
  type SeenRecord,
  SNAPSHOT_KEY,
  STATE_KEY,
  type StateRecord,
  type StorageIdentity,
  UnknownFormatError,
} from './records.ts';
import { StorageDamagedError } from './storage.ts';

export type RawRecord = readonly [key: Buffer, value: Buffer];

export interface StoredSnapshot {
  readonly generation: number;
  readonly chunks: number;
}

/** A database that fits together. */
export interface DatabaseContents {
  readonly state: StateRecord;
  readonly entries: readonly Entry[];
  /** One for each entry. */
  readonly links: readonly Link[];
  readonly snapshot: Snapshot | null;
  readonly stored: StoredSnapshot;
  readonly seen: SeenRecord;
  /** Chunks of snapshots that never came to be: what a crash left of them. */
  readonly orphans: readonly Buffer[];
  readonly fence: FenceSlot;
}

/** Records by kind, in key order. */
interface SortedRecords {
  readonly meta: Map<string, Buffer>;
  readonly log: RawRecord[];
  readonly chunks: RawRecord[];
}

/**
 * `records` is everything in the database, in the order of the keys' bytes, `fence` the bytes of its fence; `name` is
 * what errors call it. Throws StorageDamagedError, or a plain Error when a newer version wrote it.
 */
export function verifyDatabase(
  name: string,
  records: Iterable<RawRecord>,
  fence: Uint8Array,
  identity: StorageIdentity,
): DatabaseContents {
  try {
    const slot = decodeFence(fence);
    const contents = verify(sort(records), identity);
    verifyFence(slot.fence, identity.replica, contents.state, contents.seen.sequence);
    return { ...contents, fence: slot };
  } catch (cause) {
    if (cause instanceof InvariantError) throw cause;
    if (cause instanceof UnknownFormatError) {
      throw new Error(`the Raft database ${name} was written by a newer version: ${cause.message}`, {
        cause,
      });
    }
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new StorageDamagedError(`the Raft database ${name} is damaged: ${what}`, { cause });
  }
}

function sort(records: Iterable<RawRecord>): SortedRecords {
  const meta = new Map<string, Buffer>();
  const log: RawRecord[] = [];
  const chunks: RawRecord[] = [];
  const metaKeys = [IDENTITY_KEY, STATE_KEY, SEEN_KEY, SNAPSHOT_KEY];
  for (const record of records) {
    const [key, value] = record;
    if (isLogKey(key)) log.push(record);
    else if (chunkGeneration(key) !== null) chunks.push(record);
    else if (metaKeys.some((known) => known.equals(key))) meta.set(key.toString(), value);
    else throw new DecodeError(`a record with the unknown key ${key.toString('hex')}`);
  }
  return { meta, log, chunks };
}

function verify(records: SortedRecords, identity: StorageIdentity): Omit<DatabaseContents, 'fence'> {
  verifyIdentity(identity, metaRecord(records, IDENTITY_KEY, decodeIdentity));
  const state = metaRecord(records, STATE_KEY, decodeState);
  const log = verifyLog(records, state);
  const { snapshot, stored } = verifySnapshot(records, state);
  const covered = [state.base, ...log.links].find((link) => link.index === state.snapshotIndex);
  if (snapshot !== null && covered?.term !== snapshot.meta.last.term) {
    throw new DecodeError(`the snapshot and entry ${state.snapshotIndex} have different terms`);
  }
  const { term, commit } = state.hardState;
  if (term < state.last.term) throw new DecodeError(`term ${term} is lower than the last entry's`);
  if (commit > state.last.index) throw new DecodeError(`commit ${commit} is beyond the last entry`);
  if (commit < state.snapshotIndex) throw new DecodeError(`commit ${commit} is before the snapshot`);
  const orphans = records.chunks
    .map(([key]) => key)
    .filter((key) => chunkGeneration(key) !== stored.generation);
  return { state, ...log, snapshot, stored, seen: readSeen(records), orphans };
}

function metaRecord<T>(records: SortedRecords, key: Buffer, decode: (bytes: Uint8Array) => T): T {
  const name = key.toString();
  const bytes = records.meta.get(name);
  if (bytes === undefined) throw new DecodeError(`record ${name} is missing`);
  return located(`record ${name}`, () => decode(bytes));
}

function readSeen(records: SortedRecords): SeenRecord {
  if (!records.meta.has(SEEN_KEY.toString())) return { sequence: 0, seen: new Map() };
  return metaRecord(records, SEEN_KEY, decodeSeen);
}

function verifyIdentity(expected: StorageIdentity, found: StorageIdentity): void {
  if (found.cluster === expected.cluster && found.replica === expected.replica) return;
  const [theirs, ours] = [found, expected].map((id) => `replica ${id.replica} of cluster ${id.cluster}`);
  throw new DecodeError(`it belongs to ${theirs}, this is ${ours}`);
}

function verifyLog(records: SortedRecords, state: StateRecord): { entries: Entry[]; links: Link[] } {
  const entries: Entry[] = [];
  const links: Link[] = [];
  let previous = state.base;
  for (const [key, value] of records.log) {
    const { entry, link } = located(`the record after entry ${previous.index}`, () => {
      return decodeLogRecord(previous, value);
    });
    if (!key.equals(logKey(entry.index))) throw new DecodeError(`entry ${entry.index} is in a wrong place`);
    entries.push(entry);
    links.push(link);
    previous = link;
  }
  if (!sameId(previous, state.last) || previous.chain !== state.last.chain) {
    throw new DecodeError(`the log ends at entry ${previous.index} instead of ${state.last.index}`);
  }
  return { entries, links };
}

function verifySnapshot(
  records: SortedRecords,
  state: StateRecord,
): { snapshot: Snapshot | null; stored: StoredSnapshot } {
  const { base, last, snapshotIndex } = state;
  if (snapshotIndex === 0) {
    const nothing = base.index === 0 && !records.meta.has(SNAPSHOT_KEY.toString());
    if (!nothing) throw new DecodeError('the snapshot is not recorded');
    return { snapshot: null, stored: { generation: 0, chunks: 0 } };
  }
  const record = metaRecord(records, SNAPSHOT_KEY, decodeSnapshotRecord);
  if (record.last.index !== snapshotIndex || snapshotIndex < base.index || snapshotIndex > last.index) {
    throw new DecodeError(`the snapshot is at ${record.last.index} instead of ${snapshotIndex}`);
  }
  const { generation } = record;
  const own = records.chunks.filter(([key]) => chunkGeneration(key) === generation);
  for (const [n, [key]] of own.entries()) {
    if (!key.equals(chunkKey(generation, n))) throw new DecodeError(`chunk ${n} of the snapshot is missing`);
  }
  const chunks = own.map(([, value]) => value);
  const whole =
    chunks.length === chunkCount(record.length) &&
    chunks.reduce((sum, chunk) => sum + chunk.length, 0) === record.length;
  if (!whole) throw new DecodeError('the snapshot is not complete');
  const data = Buffer.concat(chunks);
  if (!createHash('sha256').update(data).digest().equals(record.sha256)) {
    throw new DecodeError('the snapshot does not have its digest');
  }
  const meta = { last: record.last, configuration: record.configuration };
  return { snapshot: { meta, data, digest: record.sha256 }, stored: { generation, chunks: chunks.length } };
}

function sameId(a: EntryId, b: EntryId): boolean {
  return a.term === b.term && a.index === b.index;
}

/** Adds where to what. */
function located<T>(where: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    if (cause instanceof DecodeError) throw new DecodeError(`${where}: ${cause.message}`, { cause });
    throw cause;
  }
}
