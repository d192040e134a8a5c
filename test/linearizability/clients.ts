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
const PATIENCE_MS = 100;

export type History = Operation<KeyValueOp, KeyValueResult>[];

export type Ask = (member: number, op: KeyValueOp) => Promise<Answer>;

export class Clients {
  readonly history: History;
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

  /** Until the signal is given, and no answer is awaited any more. */
  async run(writers: number, readers: number, signal: AbortSignal): Promise<void> {
    const started = performance.now();
    const recentKey = (): string => {
      const era = Math.floor((performance.now() - started) / ERA_MS);
      return `${era}/${this.#random.integer(1, KEYS_PER_ERA)}`;
    };
    await Promise.all([
      ...Array.from({ length: writers }, (_, n) => this.#write(`w${n}`, recentKey, signal)),
      ...Array.from({ length: readers }, (_, n) => this.#read(`r${n}`, recentKey, signal)),
    ]);
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
    let member = this.#pick();
    while (signal?.aborted !== true) {
      const answer = await this.#attempt(client, op, member);
      if (answer.kind !== 'refused') return answer.kind === 'done' ? answer.result : undefined;
      member = await this.#elsewhere(member, answer.leader);
    }
    return undefined;
  }

  async #attempt(client: string, op: KeyValueOp, member: number): Promise<Answer> {
    const calledAt = performance.now();
    const answer = await this.#ask(member, op);
    const returned = answer.kind === 'done' ? { at: performance.now(), result: answer.result } : null;
    if (answer.kind !== 'refused') this.history.push({ client, op, calledAt, returned });
    return answer;
  }

  #pick(): number {
    const member = this.#random.pick(this.#members);
    if (member === undefined) throw new Error('there is nobody to ask');
    return member;
  }

  /** Where to ask next. Not at once where nobody knows who leads. */
  async #elsewhere(member: number, leader: number | null): Promise<number> {
    if (leader !== null && leader !== member && this.#members.includes(leader)) return leader;
    await delay(RETRY_MS);
    return this.#pick();
  }

  /** Follows the leader and learns from what it is told. */
  async #write(client: string, recentKey: () => string, signal: AbortSignal): Promise<void> {
    const late: Late = new Set();
    const seen = new Map<string, Value>();
    let member = this.#pick();
    while (!signal.aborted) {
      const op = this.#draw(client, recentKey(), seen);
      const answer = await this.#patiently(client, op, member, late);
      if (answer === null) member = this.#pick();
      else if (answer.kind === 'refused') member = await this.#elsewhere(member, answer.leader);
      else if (answer.kind === 'done') learn(seen, op, answer.result);
    }
    await Promise.all(late);
  }

  /** Asks anybody, so also one that believes to lead and does not. */
  async #read(client: string, recentKey: () => string, signal: AbortSignal): Promise<void> {
    const late: Late = new Set();
    while (!signal.aborted) {
      const op: KeyValueOp = { kind: 'get', key: recentKey() };
      const answer = await this.#patiently(client, op, this.#pick(), late);
      if (answer?.kind === 'refused') await delay(RETRY_MS);
    }
    await Promise.all(late);
  }

  /**
   * Null when the answer is late; it still counts when it comes. Clients that waited for a leader that is stopped or cut
   * off would see nothing of what the next one does meanwhile.
   */
  async #patiently(client: string, op: KeyValueOp, member: number, late: Late): Promise<Answer | null> {
    const attempt = this.#attempt(client, op, member);
    late.add(attempt);
    attempt.finally(() => late.delete(attempt)).catch(() => undefined);
    return Promise.race([attempt, delay(PATIENCE_MS, null)]);
  }

  #draw(client: string, key: string, seen: ReadonlyMap<string, Value>): KeyValueOp {
    const chance = this.#random.next();
    if (chance < 0.2) return { kind: 'get', key };
    if (chance < 0.5) return { kind: 'put', key, value: ++this.#values };
    if (chance < 0.8) return { kind: 'cas', key, expected: seen.get(key) ?? null, value: ++this.#values };
    return { kind: 'add', key: `count/${client}` };
  }
}

type Late = Set<Promise<Answer>>;

function learn(seen: Map<string, Value>, op: KeyValueOp, result: KeyValueResult): void {
  if (op.kind === 'put' || (op.kind === 'cas' && result === true)) seen.set(op.key, op.value);
  if (op.kind === 'get' && typeof result !== 'boolean') seen.set(op.key, result);
}
