/**
 * A snapshot on its way from a leader to a follower, in chunks. The leader sends the one it began with to its end, also
 * when it has taken a newer one meanwhile. The follower keeps what it has of a snapshot, whoever sends it and however often
 * the connection breaks: snapshots at one index are equal on all replicas, and the digest over the whole proves it before
 * anything is replaced.
 */
import type { SnapshotChunk, SnapshotReceived } from './messages.ts';
import type { Progress } from './progress.ts';
import type { LeaderRole, Replica } from './replica.ts';
import {
  assert,
  type EntryId,
  type ReplicaId,
  type Snapshot,
  type SnapshotMeta,
  type Term,
} from './types.ts';

/** Sends as many chunks as the window allows. */
export function sendChunks(replica: Replica, to: ReplicaId, progress: Progress): void {
  const { id: from, term, options, now } = replica;
  for (;;) {
    const next = progress.nextChunk;
    if (next === null) return;
    const { meta, data, digest } = next.snapshot;
    const chunk = data.subarray(next.offset, next.offset + options.snapshotChunkBytes);
    const { offset } = next;
    replica.send({
      kind: 'snapshot-chunk',
      from,
      to,
      term,
      meta,
      size: data.length,
      digest,
      offset,
      data: chunk,
    });
    progress.chunkSent(chunk.length, now);
  }
}

export function handleSnapshotReceived(
  replica: Replica,
  leader: LeaderRole,
  message: SnapshotReceived,
): void {
  leader.peers.get(message.from)?.chunksReceived(message.last, message.received, replica.now);
}

/** What a follower holds of a snapshot: everything from the start to `received`. */
export class SnapshotAssembly {
  readonly meta: SnapshotMeta;
  readonly size: number;
  readonly digest: Uint8Array;
  /** Of the newest leader that sent a chunk of it. */
  term: Term;
  #pieces: Uint8Array[] = [];
  #received = 0;

  constructor({ meta, size, digest, term }: SnapshotChunk) {
    this.meta = meta;
    this.size = size;
    this.digest = digest;
    this.term = term;
  }

  get received(): number {
    return this.#received;
  }

  get isComplete(): boolean {
    return this.#received === this.size;
  }

  isOf({ meta, size, digest }: SnapshotChunk): boolean {
    return sameEntry(meta.last, this.meta.last) && size === this.size && sameBytes(digest, this.digest);
  }

  /** A chunk behind a gap or in front of the end brings nothing. */
  add({ offset, data }: SnapshotChunk): void {
    if (offset !== this.#received) return;
    this.#pieces.push(data);
    this.#received += data.length;
  }

  /** The whole, or null when it is not what its digest says. */
  finish(digestOf: (data: Uint8Array) => Uint8Array): Snapshot | null {
    assert(this.isComplete, 'the snapshot is not complete');
    const data = new Uint8Array(this.size);
    let at = 0;
    for (const piece of this.#pieces) {
      data.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [];
    return sameBytes(digestOf(data), this.digest) ? { meta: this.meta, data, digest: this.digest } : null;
  }
}

/** Takes a chunk in. Returns the snapshot when it was the last one that was missing. */
export function assemble(replica: Replica, message: SnapshotChunk): Snapshot | null {
  const assembly = assemblyFor(replica, message);
  if (assembly === null) return null;
  assembly.add(message);
  if (!assembly.isComplete) return null;
  replica.incoming = null;
  return assembly.finish(replica.digest);
}

/** A newer snapshot, or another one of a newer leader, takes the place of what is there; a late chunk does not. */
function assemblyFor(replica: Replica, message: SnapshotChunk): SnapshotAssembly | null {
  const { incoming } = replica;
  if (incoming?.isOf(message)) {
    incoming.term = message.term;
    return incoming;
  }
  const isLate =
    incoming !== null &&
    message.term === incoming.term &&
    message.meta.last.index <= incoming.meta.last.index;
  if (isLate) return null;
  replica.incoming = new SnapshotAssembly(message);
  return replica.incoming;
}

function sameEntry(a: EntryId, b: EntryId): boolean {
  return a.term === b.term && a.index === b.index;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
