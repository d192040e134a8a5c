/**
 * What the disk has been told and what it has confirmed. Collects everything that must become durable since the last
 * batch, with the messages that may only leave after it, and hands it out as one Persist. Batches are confirmed strictly
 * in order, so a confirmation means that everything before it is durable too.
 *
 * The race it survives: an entry is handed out, truncated, and replaced while its batch is still being written. The
 * truncation clamps every batch under way, so the late confirmation cannot vouch for the replacement.
 */
import type { Persist } from './effects.ts';
import type { RaftLog } from './log.ts';
import type { Message } from './messages.ts';
import { assert, type HardState, type LogIndex, type Snapshot, toLogIndex, ZERO_ENTRY } from './types.ts';

interface Batch {
  readonly seq: number;
  readonly hardState: HardState;
  /** The log up to here is durable with this batch. */
  last: LogIndex;
}

export class Journal {
  #seq = 0;
  readonly #underWay: Batch[] = [];
  /** Durable up to here. Invariant: stable <= handed <= last index of the log. */
  #stable: LogIndex;
  /** Given to the disk up to here. */
  #handed: LogIndex;
  #durable: HardState;
  #handedHardState: HardState;
  #truncateFrom: LogIndex | null = null;
  #snapshot: Snapshot | null = null;
  #compactTo: LogIndex | null = null;
  #thenSend: Message[] = [];

  constructor(hardState: HardState, lastIndex: LogIndex) {
    this.#durable = hardState;
    this.#handedHardState = hardState;
    this.#stable = lastIndex;
    this.#handed = lastIndex;
  }

  get stable(): LogIndex {
    return this.#stable;
  }

  get handed(): LogIndex {
    return this.#handed;
  }

  /** The hard state of the last confirmed batch. */
  get durable(): HardState {
    return this.#durable;
  }

  /** The message leaves when everything up to now is durable. */
  sendAfter(message: Message): void {
    if (message.kind === 'append-accepted') {
      // Acknowledgements are cumulative: one for each leader and write is enough.
      const at = this.#thenSend.findIndex((m) => m.kind === 'append-accepted' && m.to === message.to);
      const earlier = this.#thenSend[at];
      if (earlier?.kind === 'append-accepted') {
        if (message.match > earlier.match) this.#thenSend[at] = message;
        return;
      }
    }
    this.#thenSend.push(message);
  }

  /** Messages of an older term have no reader, and entries they vouch for may be gone before the write. */
  forgetMessages(): void {
    this.#thenSend = [];
  }

  truncated(from: LogIndex): void {
    if (from <= this.#handed) {
      this.#truncateFrom =
        this.#truncateFrom === null || from < this.#truncateFrom ? from : this.#truncateFrom;
    }
    this.#clamp(toLogIndex(from - 1));
  }

  compacted(snapshot: Snapshot, compactTo: LogIndex): void {
    this.#snapshot = snapshot;
    this.#compactTo = compactTo;
  }

  /** The whole log was replaced by `snapshot`: nothing that was written before vouches for anything now. */
  restored(snapshot: Snapshot): void {
    const { index } = snapshot.meta.last;
    if (this.#handed > index || this.#truncateFrom !== null) this.#truncateFrom = toLogIndex(index + 1);
    this.#clamp(ZERO_ENTRY.index);
    this.#handed = index;
    this.#snapshot = snapshot;
    this.#compactTo = index;
  }

  /** Everything since the last batch, or null when the disk and the peers need nothing. */
  take(hardState: HardState, log: RaftLog): Persist | null {
    const entries =
      this.#handed < log.lastIndex ? log.slice(toLogIndex(this.#handed + 1), log.lastIndex) : [];
    const { term, vote } = this.#handedHardState;
    const nothing =
      entries.length === 0 &&
      this.#truncateFrom === null &&
      this.#snapshot === null &&
      this.#thenSend.length === 0 &&
      hardState.term === term &&
      hardState.vote === vote;
    if (nothing) return null;
    this.#seq += 1;
    const persist: Persist = {
      seq: this.#seq,
      hardState,
      truncateFrom: this.#truncateFrom,
      entries,
      snapshot: this.#snapshot,
      compactTo: this.#compactTo,
      thenSend: this.#thenSend,
    };
    this.#handed = log.lastIndex;
    this.#handedHardState = hardState;
    this.#underWay.push({ seq: this.#seq, hardState, last: this.#handed });
    this.#truncateFrom = null;
    this.#snapshot = null;
    this.#compactTo = null;
    this.#thenSend = [];
    return persist;
  }

  persisted(seq: number): void {
    const batch = this.#underWay.shift();
    assert(batch?.seq === seq, `batch ${seq} confirmed, ${batch?.seq ?? 'none'} is next`);
    this.#durable = batch.hardState;
    if (batch.last > this.#stable) this.#stable = batch.last;
  }

  #clamp(last: LogIndex): void {
    for (const batch of this.#underWay) if (batch.last > last) batch.last = last;
    if (this.#stable > last) this.#stable = last;
    if (this.#handed > last) this.#handed = last;
  }
}
