/**
 * What a leader knows of one peer, and how it may send to it. All transitions live here:
 *
 *     probe ──accepted──► replicate          one message at a time / a window of messages
 *       ▲  ▲                  │ timeout, third gap without progress
 *       │  └──────────────────┘
 *       └── snapshot ◄── probe, replicate: what the peer needs next is compacted away; chunk after chunk, the next
 *                        leaving when the peer has shown how much it holds
 *
 * A lost datagram does not leave `replicate`: the rejection says where the gap is and sending goes on from there.
 * Timers run only while something is unanswered, and stop after a few tries: then the next heartbeat response wakes them.
 */
import type { RaftOptions } from './options.ts';
import { RoundTrip } from './round-trip.ts';
import { assert, type EntryId, type LogIndex, type Snapshot, toLogIndex } from './types.ts';

interface Sent {
  readonly last: LogIndex;
  readonly bytes: number;
  readonly at: number;
}

export type ProgressState =
  | { readonly kind: 'probe'; awaiting: boolean }
  | { readonly kind: 'replicate'; readonly inflight: Inflight; gaps: number; resentAt: number }
  | SnapshotState;

interface SnapshotState {
  readonly kind: 'snapshot';
  readonly snapshot: Snapshot;
  /** The peer holds this many bytes; null until it has said so: it may have some of an earlier attempt. */
  received: number | null;
  /** Where the next chunk begins; null when everything was sent. */
  next: number | null;
  /** When sending began anew behind a gap. */
  resentAt: number;
  /** Another gap was reported so soon after that it may be the same one. */
  hasGap: boolean;
}

/** What an answered heartbeat says. */
export interface Pulse {
  readonly sequence: number;
  readonly sentAt: number;
  /** The end of the peer's log, equal to ours or not. */
  readonly lastIndex: LogIndex;
}

/** Rejections without progress between them that end `replicate`. */
const GAPS_MAX = 3;

/** What is sent and not acknowledged, oldest first, bounded by bytes and by messages. */
export class Inflight {
  #sent: Sent[] = [];
  #bytes = 0;
  readonly #bytesMax: number;
  readonly #messagesMax: number;

  constructor(bytesMax: number, messagesMax: number) {
    this.#bytesMax = bytesMax;
    this.#messagesMax = messagesMax;
  }

  get oldest(): Sent | undefined {
    return this.#sent[0];
  }

  /** One message may overshoot the byte bound, or an entry larger than it could never be sent. */
  get isFull(): boolean {
    return this.#sent.length >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  add(sent: Sent): void {
    assert(!this.isFull, 'sending beyond the window');
    this.#sent.push(sent);
    this.#bytes += sent.bytes;
  }

  /** Acknowledgements are cumulative. */
  freeTo(match: LogIndex): void {
    const kept = this.#sent.findIndex((sent) => sent.last > match);
    const freed = this.#sent.splice(0, kept === -1 ? this.#sent.length : kept);
    for (const sent of freed) this.#bytes -= sent.bytes;
  }

  clear(): void {
    this.#sent = [];
    this.#bytes = 0;
  }
}

export class Progress {
  readonly #options: RaftOptions;
  readonly #roundTrip: RoundTrip;
  /** Known equal and durable at the peer. Invariant: match < next. */
  #match: LogIndex = toLogIndex(0);
  /** The next entry to send. */
  #next: LogIndex;
  #state: ProgressState = { kind: 'probe', awaiting: false };
  #retransmitAt = Number.POSITIVE_INFINITY;
  /** Timeouts in a row without an answer. */
  #timeouts = 0;
  /** The highest commit index that went out in an append. */
  #commitSent: LogIndex = toLogIndex(0);
  /** When the last heartbeat round that the peer answered was sent. */
  activeAt: number;
  heartbeatAt: number;
  /** The newest heartbeat round that the peer answered. */
  answeredSequence = 0;

  constructor(next: LogIndex, options: RaftOptions, now: number) {
    this.#options = options;
    this.#roundTrip = new RoundTrip(options.retransmitMsInitial, options.retransmitMsMin);
    this.#next = next;
    this.activeAt = now;
    this.heartbeatAt = now;
  }

  get match(): LogIndex {
    return this.#match;
  }

  get next(): LogIndex {
    return this.#next;
  }

  get state(): Readonly<ProgressState> {
    return this.#state;
  }

  get retransmitAt(): number {
    return this.#retransmitAt;
  }

  get commitSent(): LogIndex {
    return this.#commitSent;
  }

  get canSend(): boolean {
    if (this.#state.kind === 'probe') return !this.#state.awaiting;
    return this.#state.kind === 'replicate' && !this.#state.inflight.isFull;
  }

  /** An append with entries up to `last` left, or an empty one (`bytes` 0) with prev = `last`. */
  appendSent(last: LogIndex, bytes: number, commit: LogIndex, now: number): void {
    assert(this.canSend && last + 1 >= this.#next, `append up to ${last} sent, ${this.#next} is next`);
    if (commit > this.#commitSent) this.#commitSent = commit;
    if (bytes > 0) this.#roundTrip.sent(last, now);
    if (this.#state.kind === 'probe') {
      this.#state.awaiting = true;
      this.#arm(now);
    } else if (this.#state.kind === 'replicate' && bytes > 0) {
      this.#state.inflight.add({ last, bytes, at: now });
      this.#next = toLogIndex(last + 1);
      if (this.#retransmitAt === Number.POSITIVE_INFINITY) this.#arm(now);
    }
  }

  /** It is sent to its end, also when a newer one is taken meanwhile. */
  snapshotStarted(snapshot: Snapshot): void {
    const resentAt = Number.NEGATIVE_INFINITY;
    this.#state = { kind: 'snapshot', snapshot, received: null, next: 0, resentAt, hasGap: false };
  }

  /** What may be sent of the snapshot now: one chunk until the peer has answered, then a window of them. */
  get nextChunk(): { readonly snapshot: Snapshot; readonly offset: number } | null {
    if (this.#state.kind !== 'snapshot' || this.#state.next === null) return null;
    const { snapshot, received, next } = this.#state;
    const isOpen = received === null ? next === 0 : next - received < this.#options.maxSnapshotInflightBytes;
    return isOpen ? { snapshot, offset: next } : null;
  }

  chunkSent(bytes: number, now: number): void {
    assert(this.#state.kind === 'snapshot' && this.#state.next !== null, 'a chunk without a snapshot');
    const end = this.#state.next + bytes;
    this.#state.next = end < this.#state.snapshot.data.length ? end : null;
    this.#retransmitAt = now + this.#options.snapshotRetryMs;
  }

  /** The peer holds `received` bytes of the snapshot that ends in `last`. */
  chunksReceived(last: EntryId, received: number, now: number): void {
    const state = this.#state;
    if (state.kind !== 'snapshot' || state.snapshot.meta.last.index !== last.index) return;
    if (received > state.snapshot.data.length) return;
    this.#timeouts = 0;
    const before = state.received;
    if (before === null || received > before) {
      state.received = received;
      this.#retransmitAt = now + this.#options.snapshotRetryMs;
      if (before === null || (state.next !== null && state.next < received)) state.next = received;
      return;
    }
    // The same again, or less: what was sent behind it met a gap, or the peer has begun anew.
    const resendAt = state.resentAt + this.#options.retransmitMsInitial;
    state.received = received;
    if (now >= resendAt) this.#resumeSnapshot(state, now);
    else {
      state.hasGap = true;
      this.#retransmitAt = Math.min(this.#retransmitAt, resendAt);
    }
  }

  #resumeSnapshot(state: SnapshotState, now: number): void {
    state.next = state.received ?? 0;
    state.resentAt = now;
    state.hasGap = false;
    this.#retransmitAt = Number.POSITIVE_INFINITY;
  }

  /** Nothing can be sent to a peer that is silent: the next heartbeat response wakes it. */
  pause(): void {
    this.#probe(this.#resumption, true);
  }

  /** `reachable`: the log still holds what follows `match`. False when this is no news. */
  accepted(match: LogIndex, reachable: boolean, now: number): boolean {
    const news = match > this.#match;
    this.#timeouts = 0;
    if (news) {
      this.#match = match;
      if (this.#next <= match) this.#next = toLogIndex(match + 1);
      this.#roundTrip.acknowledged(match, now);
    }
    switch (this.#state.kind) {
      case 'probe':
        // A late answer of the same term proves the same: equal up to `match`.
        if (match === this.#match) this.#replicate();
        break;
      case 'snapshot':
        if (news && reachable) this.#replicate();
        break;
      case 'replicate':
        if (!news) break;
        this.#state.inflight.freeTo(match);
        this.#state.gaps = 0;
        this.#retransmitAt = Number.POSITIVE_INFINITY;
        if (this.#state.inflight.oldest !== undefined) this.#arm(now);
        break;
    }
    return news;
  }

  /** The append with prev = `rejected` did not fit; the logs may be equal up to `candidate`. */
  rejected(rejected: LogIndex, candidate: LogIndex, now: number): void {
    if (rejected <= this.#match) return;
    this.#timeouts = 0;
    const next = toLogIndex(Math.max(this.#match, Math.min(candidate, rejected - 1)) + 1);
    switch (this.#state.kind) {
      case 'probe':
        if (rejected + 1 === this.#next) this.#probe(next, false);
        break;
      case 'replicate':
        if (rejected < this.#next) this.#gap(next, now);
        break;
      case 'snapshot':
        break;
    }
  }

  heartbeatAnswered({ sequence, sentAt, lastIndex }: Pulse, now: number): void {
    if (sentAt > this.activeAt) this.activeAt = sentAt;
    if (sequence > this.answeredSequence) this.answeredSequence = sequence;
    const next = toLogIndex(Math.max(this.#match, Math.min(this.#next - 1, lastIndex)) + 1);
    switch (this.#state.kind) {
      case 'probe':
        if (this.#state.awaiting && this.#retransmitAt === Number.POSITIVE_INFINITY) this.#probe(next, false);
        break;
      case 'replicate': {
        const { oldest } = this.#state.inflight;
        // Sent before the heartbeat and not there when it was answered: lost.
        if (oldest !== undefined && oldest.at < sentAt && next < this.#next) this.#gap(next, now);
        break;
      }
      case 'snapshot':
        // Installed, and the acknowledgement was lost. An append is the proof. An answer that is older than an
        // acknowledgement must not take it back.
        if (lastIndex === this.#state.snapshot.meta.last.index) {
          this.#probe(toLogIndex(Math.max(lastIndex, this.#match) + 1), false);
        }
        break;
    }
  }

  /** Nothing came back in time. */
  expire(now: number): void {
    if (now < this.#retransmitAt) return;
    if (this.#state.kind === 'snapshot' && this.#state.hasGap) {
      this.#resumeSnapshot(this.#state, now);
      return;
    }
    this.#timeouts += 1;
    this.#probe(this.#resumption, false);
  }

  /** A new way to the peer: what was sent on an earlier one may be lost, and waiting for a timer has no sense. */
  reachable(now: number): void {
    this.heartbeatAt = now;
    if (this.#state.kind === 'snapshot') this.#resumeSnapshot(this.#state, now);
    else if (this.#state.kind === 'probe') this.#probe(this.#resumption, false);
  }

  /** A probe keeps its guess: what is known to match may be far below, or nothing yet. */
  get #resumption(): LogIndex {
    return this.#state.kind === 'probe' ? this.#next : toLogIndex(this.#match + 1);
  }

  #probe(next: LogIndex, awaiting: boolean): void {
    this.#state = { kind: 'probe', awaiting };
    this.#next = next;
    this.#retransmitAt = Number.POSITIVE_INFINITY;
    this.#roundTrip.lost();
  }

  #replicate(): void {
    const { maxInflightBytes, maxInflightMessages } = this.#options;
    this.#state = {
      kind: 'replicate',
      inflight: new Inflight(maxInflightBytes, maxInflightMessages),
      gaps: 0,
      resentAt: Number.NEGATIVE_INFINITY,
    };
    this.#next = toLogIndex(this.#match + 1);
    this.#retransmitAt = Number.POSITIVE_INFINITY;
  }

  #gap(next: LogIndex, now: number): void {
    if (this.#state.kind !== 'replicate') return;
    // Every message behind a lost one is rejected: one round trip answers them all.
    if (now - this.#state.resentAt < this.#roundTrip.rtt) return;
    this.#state.gaps += 1;
    if (this.#state.gaps >= GAPS_MAX) {
      this.#probe(next, false);
      return;
    }
    this.#state.resentAt = now;
    this.#state.inflight.clear();
    this.#next = next;
    this.#retransmitAt = Number.POSITIVE_INFINITY;
    this.#roundTrip.lost();
  }

  /** Backs off, and gives up when the next heartbeat comes sooner. */
  #arm(now: number): void {
    const wait = this.#roundTrip.timeout * 2 ** this.#timeouts;
    const givesUp = this.#timeouts > 0 && wait > this.#options.heartbeatMs;
    this.#retransmitAt = givesUp ? Number.POSITIVE_INFINITY : now + wait;
  }
}
