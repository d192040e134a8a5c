/**
 * Reads a whole Raft database and believes none of it before it fits together: identity, checksums, the chain of
 * entries from the recorded start to the recorded end, the snapshot's digest, and nothing in it that nobody wrote.
 * Changes nothing. What does not verify is a StorageDamagedError that says what was found where.
 */
import { createHash } from 'node:crypto';
import type { Level } from 'level';
import { type Entry, type EntryId, InvariantError, type Snapshot } from '../core/types.ts';
import { DecodeError } from './bytes.ts';
import {
  chunkKey,
  decodeIdentity,
  decodeLogRecord,
  decodeSnapshotRecord,
  decodeState,
  IDENTITY_KEY,
  isChunkKey,
  isLogKey,
  type Link,
  logKey,
  SNAPSHOT_CHUNK_BYTES,
  SNAPSHOT_KEY,
  STATE_KEY,
  type StateRecord,
  type StorageIdentity,
  UnknownFormatError,
} from './records.ts';
import { StorageDamagedError } from './storage.ts';

export interface DatabaseContents {
  readonly state: StateRecord;
  readonly entries: Entry[];
  /** One for each entry. */
  readonly links: Link[];
  readonly snapshot: Snapshot | null;
}

/** Raw records by kind, in key order. */
interface RawContents {
  readonly meta: Map<string, Buffer>;
  readonly log: [key: Buffer, value: Buffer][];
  readonly chunks: [key: Buffer, value: Buffer][];
}

export async function readDatabase(
  database: Level<Buffer, Buffer>,
  directory: string,
  identity: StorageIdentity,
): Promise<DatabaseContents> {
  try {
    return verify(await readAll(database), identity);
  } catch (cause) {
    if (cause instanceof InvariantError) throw cause;
    if (cause instanceof UnknownFormatError) {
      const sentence = `the Raft database ${directory} was written by a newer version: ${cause.message}`;
      throw new Error(sentence, { cause });
    }
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new StorageDamagedError(`the Raft database ${directory} is damaged: ${what}`, { cause });
  }
}

async function readAll(database: Level<Buffer, Buffer>): Promise<RawContents> {
  const meta = new Map<string, Buffer>();
  const log: [Buffer, Buffer][] = [];
  const chunks: [Buffer, Buffer][] = [];
  const metaKeys = [IDENTITY_KEY, STATE_KEY, SNAPSHOT_KEY];
  for await (const [key, value] of database.iterator()) {
    if (isLogKey(key)) log.push([key, value]);
    else if (isChunkKey(key)) chunks.push([key, value]);
    else if (metaKeys.some((known) => known.equals(key))) meta.set(key.toString(), value);
    else throw new DecodeError(`a record with the unknown key ${key.toString('hex')}`);
  }
  return { meta, log, chunks };
}

function verify(raw: RawContents, identity: StorageIdentity): DatabaseContents {
  verifyIdentity(identity, metaRecord(raw, IDENTITY_KEY, decodeIdentity));
  const state = metaRecord(raw, STATE_KEY, decodeState);
  const { entries, links } = verifyLog(raw, state);
  const snapshot = verifySnapshot(raw, state);
  const covered = [state.base, ...links].find((link) => link.index === state.snapshotIndex);
  if (snapshot !== null && covered?.term !== snapshot.meta.last.term) {
    throw new DecodeError(`the snapshot and entry ${state.snapshotIndex} have different terms`);
  }
  const { term, commit } = state.hardState;
  if (term < state.last.term) throw new DecodeError(`term ${term} is lower than the last entry's`);
  if (commit > state.last.index) throw new DecodeError(`commit ${commit} is beyond the last entry`);
  if (commit < state.snapshotIndex) throw new DecodeError(`commit ${commit} is before the snapshot`);
  return { state, entries, links, snapshot };
}

function metaRecord<T>(raw: RawContents, key: Buffer, decode: (bytes: Uint8Array) => T): T {
  const name = key.toString();
  const bytes = raw.meta.get(name);
  if (bytes === undefined) throw new DecodeError(`record ${name} is missing`);
  return located(`record ${name}`, () => decode(bytes));
}

function verifyIdentity(expected: StorageIdentity, found: StorageIdentity): void {
  if (found.cluster === expected.cluster && found.replica === expected.replica) return;
  const [theirs, ours] = [found, expected].map((id) => `replica ${id.replica} of cluster ${id.cluster}`);
  throw new DecodeError(`it belongs to ${theirs}, this is ${ours}`);
}

function verifyLog(raw: RawContents, state: StateRecord): { entries: Entry[]; links: Link[] } {
  const entries: Entry[] = [];
  const links: Link[] = [];
  let previous = state.base;
  for (const [key, value] of raw.log) {
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

function verifySnapshot(raw: RawContents, state: StateRecord): Snapshot | null {
  const { base, last, snapshotIndex } = state;
  if (snapshotIndex === 0) {
    const nothing = base.index === 0 && raw.chunks.length === 0 && !raw.meta.has(SNAPSHOT_KEY.toString());
    if (!nothing) throw new DecodeError('the snapshot is not recorded');
    return null;
  }
  const record = metaRecord(raw, SNAPSHOT_KEY, decodeSnapshotRecord);
  if (record.last.index !== snapshotIndex || snapshotIndex < base.index || snapshotIndex > last.index) {
    throw new DecodeError(`the snapshot is at ${record.last.index} instead of ${snapshotIndex}`);
  }
  for (const [n, [key]] of raw.chunks.entries()) {
    if (!key.equals(chunkKey(snapshotIndex, n)))
      throw new DecodeError(`chunk ${n} of the snapshot is missing`);
  }
  const chunks = raw.chunks.map(([, value]) => value);
  const whole =
    chunks.length === Math.ceil(record.length / SNAPSHOT_CHUNK_BYTES) &&
    chunks.reduce((sum, chunk) => sum + chunk.length, 0) === record.length;
  if (!whole) throw new DecodeError('the snapshot is not complete');
  const data = Buffer.concat(chunks);
  if (!createHash('sha256').update(data).digest().equals(record.sha256)) {
    throw new DecodeError('the snapshot does not have its digest');
  }
  return { meta: { last: record.last, configuration: record.configuration }, data };
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
