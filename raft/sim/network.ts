/**
 * The network between simulated replicas: loses, duplicates, delays and thereby reorders, and is cut into parts by
 * rules on directed pairs, so that one way can be dead while the other works. Delivers the very object that was sent,
 * frozen: a core that changes a message after handing it out is caught in the act.
 */
import type { Message } from '../core/messages.ts';
import type { ReplicaId } from '../core/types.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

export interface NetworkParameters {
  readonly dropProbability: number;
  readonly duplicateProbability: number;
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** Of a message: to be delayed up to `slowMsMax` instead. */
  readonly slowProbability: number;
  readonly slowMsMax: number;
}

/** `Stamp` goes with a message, for whoever delivers it. */
export class SimulatedNetwork<Stamp> {
  /** How often each thing happened: `dropped`, `duplicated`, `slow`, `cut`, and each also by kind of message. */
  readonly counts: Map<string, number> = new Map();
  parameters: NetworkParameters;
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #deliver: (message: Message, stamp: Stamp) => void;
  #isCut: (from: ReplicaId, to: ReplicaId) => boolean = () => false;

  constructor(parts: {
    timeline: Timeline;
    random: Random;
    parameters: NetworkParameters;
    deliver: (message: Message, stamp: Stamp) => void;
  }) {
    this.#timeline = parts.timeline;
    this.#random = parts.random;
    this.parameters = parts.parameters;
    this.#deliver = parts.deliver;
  }

  send(message: Message, stamp: Stamp): void {
    freeze(message);
    const { dropProbability, duplicateProbability } = this.parameters;
    if (this.#random.chance(dropProbability)) {
      this.#count('dropped', message);
      return;
    }
    this.#transmit(message, stamp);
    if (this.#random.chance(duplicateProbability)) {
      this.#count('duplicated', message);
      this.#transmit(message, stamp);
    }
  }

  /** Replaces the cut that was there. Holds for messages under way as well. */
  cut(isCut: (from: ReplicaId, to: ReplicaId) => boolean): void {
    this.#isCut = isCut;
  }

  /** Ends this cut, if a newer one has not replaced it; without an argument, any. */
  heal(isCut: (from: ReplicaId, to: ReplicaId) => boolean = this.#isCut): boolean {
    if (isCut !== this.#isCut) return false;
    this.#isCut = () => false;
    return true;
  }

  #count(what: string, { kind }: Message): void {
    const counts = this.counts;
    for (const name of [what, `${what} ${kind}`]) counts.set(name, (counts.get(name) ?? 0) + 1);
  }

  #transmit(message: Message, stamp: Stamp): void {
    const { delayMsMin, delayMsMax, slowProbability, slowMsMax } = this.parameters;
    const slow = this.#random.chance(slowProbability);
    if (slow) this.#count('slow', message);
    this.#timeline.after(this.#random.integer(delayMsMin, slow ? slowMsMax : delayMsMax), () => {
      if (this.#isCut(message.from, message.to)) this.#count('cut', message);
      else this.#deliver(message, stamp);
    });
  }
}

function freeze(message: Message): void {
  Object.freeze(message);
  if (message.kind === 'append-request') Object.freeze(message.entries);
}
