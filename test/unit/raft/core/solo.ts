/**
 * One replica and a test that plays everybody else: what it is sent, what it answers, and what it asks of its disk. The
 * disk confirms at once unless it is held.
 */
import type { Effects, Persist, ReadOutcome } from '../../../../raft/core/effects.ts';
import type { Message } from '../../../../raft/core/messages.ts';
import { type RaftOptions, raftOptions } from '../../../../raft/core/options.ts';
import { RaftCore } from '../../../../raft/core/raft.ts';
import {
  type Configuration,
  type Entry,
  type EntryId,
  type Snapshot,
  toLogIndex,
  toTerm,
} from '../../../../raft/core/types.ts';
import { configuration, type Disk, describe, digest, diskOf, id, text } from './network.ts';

export const THREE: Configuration = configuration([1, 2, 3]);

export const at = (term: number, index: number): EntryId => ({
  term: toTerm(term),
  index: toLogIndex(index),
});
export const command = (term: number, index: number): Entry => ({
  ...at(term, index),
  kind: 'command',
  payload: text(`${term}/${index}`),
});

export class Solo {
  readonly core: RaftCore;
  readonly disk: Disk;
  now = 0;
  holdsDisk = false;
  readonly held: Persist[] = [];
  /** Since the last forget(). */
  sent: Message[] = [];
  applied: string[] = [];
  restored: Snapshot[] = [];
  persisted: Persist[] = [];
  reads: ReadOutcome[] = [];

  constructor(disk: Disk = diskOf([1], THREE), options: Partial<RaftOptions> = {}, own = 1) {
    this.disk = disk;
    this.core = new RaftCore({
      id: id(own),
      options: raftOptions(options),
      hardState: disk.hardState,
      snapshot: disk.snapshot,
      entries: disk.entries,
      random: () => 0.5,
      digest,
      now: 0,
    });
    this.drain();
  }

  /** Replica 1 of three, leader of the term after its log's last, its no-op not acknowledged yet. */
  static leader(disk: Disk = diskOf([1], THREE), options: Partial<RaftOptions> = {}): Solo {
    const solo = new Solo(disk, options);
    solo.campaign();
    const { term, configuration: c } = solo.core.status;
    for (const from of [...c.voters, ...c.outgoing])
      if (from !== 1) solo.receive({ kind: 'vote-response', from, term, granted: true });
    if (solo.core.status.role !== 'leader') throw new Error('not elected');
    return solo;
  }

  /** Lets the election timeout run out. */
  timeOut(): void {
    const before = this.of('pre-vote-request').length;
    while (this.of('pre-vote-request').length === before) this.advance(this.core.deadline() - this.now);
  }

  /** Election timeout, and everybody grants the pre-vote. */
  campaign(): void {
    this.timeOut();
    const { term, configuration: c } = this.core.status;
    const nextTerm = toTerm(term + 1);
    for (const from of [...c.voters, ...c.outgoing]) {
      if (from !== 1) this.receive({ kind: 'pre-vote-response', from, term, nextTerm, granted: true });
    }
  }

  receive(message: DistributiveOmit<Message, 'to' | 'term' | 'from'> & { from: number; term: number }): void {
    const { from, term } = message;
    this.core.step({ ...message, from: id(from), to: this.core.status.id, term: toTerm(term) }, this.now);
    this.drain();
  }

  advance(ms: number): void {
    this.now += ms;
    this.core.tick(this.now);
    this.drain();
  }

  propose(payload: string): ReturnType<RaftCore['propose']> {
    const result = this.core.propose(text(payload), this.now);
    this.drain();
    return result;
  }

  readIndex(): ReturnType<RaftCore['readIndex']> {
    const result = this.core.readIndex(this.now);
    this.drain();
    return result;
  }

  transferTo(target: number): ReturnType<RaftCore['transferLeadership']> {
    const result = this.core.transferLeadership(id(target), this.now);
    this.drain();
    return result;
  }

  /** The disk confirms what it holds. */
  release(): void {
    for (const persist of this.held.splice(0)) this.#confirm(persist);
    this.drain();
  }

  forget(): void {
    this.sent = [];
    this.applied = [];
    this.persisted = [];
  }

  of<K extends Message['kind']>(kind: K): Extract<Message, { kind: K }>[] {
    return this.sent.filter((m): m is Extract<Message, { kind: K }> => m.kind === kind);
  }

  drain(): void {
    this.core.assertInvariants();
    for (;;) {
      const effects: Effects = this.core.takeEffects();
      this.sent.push(...effects.send);
      if (effects.restore !== null) this.restored.push(effects.restore);
      this.reads.push(...effects.reads);
      this.applied.push(...effects.apply.map(describe));
      const last = effects.apply.at(-1);
      if (last !== undefined) this.core.applied(last.index);
      if (effects.persist === null && last === undefined) break;
      if (effects.persist === null) continue;
      this.persisted.push(effects.persist);
      if (this.holdsDisk) this.held.push(effects.persist);
      else this.#confirm(effects.persist);
    }
    this.core.assertInvariants();
  }

  #confirm(persist: Persist): void {
    this.sent.push(...persist.thenSend);
    this.core.persisted(persist.seq, this.now);
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
