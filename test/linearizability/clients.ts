/**
 * Clients that read and write at the same time, and the history of what they saw. An operation that was refused had no
 * effect and is asked again; one of which nobody knows is left behind. The clock is that of the harness.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { KeyValueOp, KeyValueResult, Value } from '../../raft/sim/key-value-model.ts';
import type { Operation } from '../../raft/sim/linearize.ts';
import type { Random } from '../../raft/sim/random.ts';
import type { Answer } from './protocol.ts';

/** New keys now and then: the shorter the history of a key, the faster it is checked. */
const ERA_MS = 2_000;
const KEYS_PER_ERA = 3;
const RETRY_MS = 20;

export type History = Operation<KeyValueOp, KeyValueResult>[];

export type Ask = (member: number, op: KeyValueOp) => Promise<Answer>;

/** How often a client counted its own counter up: what was answered must be there, what was not may be. */
export interface Count {
  readonly key: string;
  answered: number;
  asked: number;
}

export class Clients {
  readonly history: History;
  readonly counts: Count[] = [];
  readonly #ask: Ask;
  readonly #members: readonly number[];
  readonly #random: Random;
  /** Every value is written once: whoever reads it knows which write it was. */
  #values = 0;

  constructor(members: readonly number[], ask: Ask, random: Random, history: History = []) {
    this.#members = members;
    this.#ask = ask;
    this.#random = random;
    this.history = history;
  }

  /** Clients that can reach these members only, and write into the same history. */
  of(...members: readonly number[]): Clients {
    return new Clients(members, this.#ask, this.#random, this.history);
  }

  /** Until the signal is given, and the last operation of each client has ended. */
  async run(clients: number, signal: AbortSignal): Promise<void> {
    const started = performance.now();
    await Promise.all(Array.from({ length: clients }, (_, n) => this.#work(`c${n}`, started, signal)));
  }

  /** Every key that was written, read once more. */
  async readAll(): Promise<void> {
    for (const key of new Set(this.history.map(({ op }) => op.key)))
      await this.certainly('reader', { kind: 'get', key });
  }

  /** Until it is known that it was done; it may have been done more than once. Undefined when the signal was given. */
  async certainly(client: string, op: KeyValueOp, signal?: AbortSignal): Promise<KeyValueResult | undefined> {
    while (signal?.aborted !== true) {
      const result = await this.perform(client, op, signal);
      if (result !== undefined) return result;
    }
    return undefined;
  }

  /** The result, or undefined when nobody knows. Without a signal it is asked until it is not refused. */
  async perform(client: string, op: KeyValueOp, signal?: AbortSignal): Promise<KeyValueResult | undefined> {
    let member = this.#random.pick(this.#members);
    while (member !== undefined && signal?.aborted !== true) {
      const calledAt = performance.now();
      const answer = await this.#ask(member, op);
      if (answer.kind === 'refused') {
        const { leader } = answer;
        const isKnown = leader !== null && leader !== member && this.#members.includes(leader);
        member = isKnown ? leader : this.#random.pick(this.#members);
        if (!isKnown) await delay(RETRY_MS);
        continue;
      }
      const returned = answer.kind === 'done' ? { at: performance.now(), result: answer.result } : null;
      this.history.push({ client, op, calledAt, returned });
      return returned?.result;
    }
    return undefined;
  }

  async #work(client: string, started: number, signal: AbortSignal): Promise<void> {
    const count: Count = { key: `count/${client}`, answered: 0, asked: 0 };
    this.counts.push(count);
    const seen = new Map<string, Value>();
    while (!signal.aborted) {
      const era = Math.floor((performance.now() - started) / ERA_MS);
      const key = `${era}/${this.#random.integer(1, KEYS_PER_ERA)}`;
      const op = this.#draw(key, count.key, seen.get(key) ?? null);
      if (op.kind === 'add') count.asked++;
      const result = await this.perform(client, op, signal);
      if (result === undefined) continue;
      if (op.kind === 'add') count.answered++;
      if (op.kind === 'put' || result === true) seen.set(key, 'value' in op ? op.value : null);
      if (op.kind === 'get' && typeof result !== 'boolean') seen.set(key, result);
    }
  }

  #draw(key: string, counter: string, expected: Value): KeyValueOp {
    const chance = this.#random.next();
    if (chance < 0.35) return { kind: 'get', key };
    if (chance < 0.6) return { kind: 'put', key, value: ++this.#values };
    if (chance < 0.85) return { kind: 'cas', key, expected, value: ++this.#values };
    return { kind: 'add', key: counter };
  }
}
