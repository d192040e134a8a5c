/**
 * Strikes real members from one seed: kills and restarts, stops and lets go on, cuts the network, two at a time.
 * When it has ended, everything that it did still holds; `Cluster.heal` undoes it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../raft/sim/random.ts';
import type { Cluster } from './cluster.ts';

export type Strike = 'kill' | 'pause' | 'isolate' | 'halves' | 'one-way' | 'bridge';

/** From the end of one strike to the next; together with how long one lasts, a kill comes every two seconds. */
const KILL_PAUSE_MS = 1_700;
const OTHER_PAUSE_MS = 1_000;
/** A service manager restarts a process soon. */
const KILL_LASTS_MS: Range = [50, 500];
/** Shorter than an election, or longer than two. */
const OTHER_LASTS_MS: Range = [200, 1_400];

type Range = readonly [min: number, max: number];

export class Nemesis {
  readonly counts: Map<Strike, number> = new Map();
  /** What happened, for the message of a failure. */
  readonly log: string[] = [];
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #started = performance.now();

  constructor(cluster: Cluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  async run(signal: AbortSignal): Promise<void> {
    // Not all at once: who has no quorum all the time makes no mistakes.
    await Promise.all([
      this.#every(KILL_PAUSE_MS, signal, () => this.#kill()),
      this.#every(OTHER_PAUSE_MS, signal, async () => {
        await this.#pause();
        if (!signal.aborted) await this.#cut();
      }),
    ]);
  }

  async #every(meanPauseMs: number, signal: AbortSignal, strike: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      const pauseMs = meanPauseMs * (0.5 + this.#random.next());
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await strike();
    }
  }

  async #kill(): Promise<void> {
    const id = this.#pick();
    this.#note('kill', `${id}`);
    await this.#cluster.kill(id);
    await this.#last(KILL_LASTS_MS);
    this.#cluster.start(id, 'open');
  }

  async #pause(): Promise<void> {
    const id = this.#pick();
    this.#note('pause', `${id}`);
    this.#cluster.pause(id);
    await this.#last(OTHER_LASTS_MS);
    this.#cluster.resume(id);
  }

  async #cut(): Promise<void> {
    const { ids } = this.#cluster;
    const shape = this.#random.pick(['isolate', 'halves', 'one-way', 'bridge'] as const) ?? 'isolate';
    const size = this.#random.integer(1, ids.length - 1);
    const side = new Set(shape === 'isolate' ? [this.#pick()] : this.#random.sample(ids, size));
    const bridge = shape === 'bridge' ? this.#pick() : null;
    this.#note(shape, `${[...side].join(',')}${bridge === null ? '' : ` but for ${bridge}`}`);
    await this.#cluster.cut((from, to) => {
      if (from === bridge || to === bridge) return false;
      return shape === 'one-way' ? side.has(from) && !side.has(to) : side.has(from) !== side.has(to);
    });
    await this.#last(OTHER_LASTS_MS);
    await this.#cluster.cut(() => false);
  }

  /** Half of the time the leader: what happens to it matters most. */
  #pick(): number {
    const { ids, lastServed } = this.#cluster;
    const id = this.#random.chance(0.5) && lastServed !== null ? lastServed : this.#random.pick(ids);
    if (id === undefined) throw new Error('a cluster has members');
    return id;
  }

  #last([min, max]: Range): Promise<void> {
    return delay(this.#random.integer(min, max));
  }

  #note(strike: Strike, whom: string): void {
    this.counts.set(strike, (this.counts.get(strike) ?? 0) + 1);
    this.log.push(`${Math.round(performance.now() - this.#started)} ms: ${strike} ${whom}`);
  }
}
