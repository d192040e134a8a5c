/**
 * Changes who is a member while everything else goes on, and hands leadership around. A change is asked for until some
 * leader says that it is done: changing to what already is changes nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ConfigurationOutcome, TransferOutcome } from '../../raft/index.ts';
import type { Random } from '../../raft/sim/random.ts';
import type { Cluster } from './cluster.ts';
import type { MemberState, Membership, Request } from './protocol.ts';

const RETRY_MS = 50;
const HAND_OVER_EVERY_MS = 1_500;

export class Operator {
  readonly #cluster: Cluster;
  readonly #random: Random;

  constructor(cluster: Cluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** One after the other, each when the one before it is done. */
  async change(steps: readonly Membership[]): Promise<void> {
    for (const step of steps) {
      while (!(await this.#isDone(step))) await delay(RETRY_MS);
    }
  }

  async handOverNowAndThen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pauseMs = HAND_OVER_EVERY_MS * (0.5 + this.#random.next());
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      await this.#tryHandOver();
    }
  }

  /** Until it has worked, or nothing has to be done. To anybody unless told to whom. */
  async handOver(target?: number): Promise<void> {
    while (!(await this.#tryHandOver(target))) await delay(RETRY_MS);
  }

  async #tryHandOver(to?: number): Promise<boolean> {
    const leader = await this.#leader();
    if (leader === null) return false;
    if (leader.id === to) return true;
    const target = to ?? this.#random.pick(leader.state.voters.filter((id) => id !== leader.id));
    if (target === undefined) return false;
    const outcome = await this.#cluster.ask<TransferOutcome>(leader.id, { kind: 'transfer', target });
    return outcome?.kind === 'transferred';
  }

  async #isDone(target: Membership): Promise<boolean> {
    const leader = await this.#leader();
    if (leader === null) return false;
    const { voters, learners } = leader.state;
    const request: Request = { kind: 'configure', from: { voters, learners }, to: target };
    const outcome = await this.#cluster.ask<ConfigurationOutcome>(leader.id, request);
    return (
      outcome?.kind === 'applied' ||
      (outcome?.kind === 'invalid' && outcome.reason === 'nothing would change')
    );
  }

  /** Somebody who says so; several may. */
  async #leader(): Promise<{ readonly id: number; readonly state: MemberState } | null> {
    const states = await Promise.all(
      this.#cluster.ids.map(async (id) => ({ id, state: await this.#cluster.state(id) })),
    );
    const leaders = states.flatMap(({ id, state }) => (state?.role === 'leader' ? [{ id, state }] : []));
    return this.#random.pick(leaders) ?? null;
  }
}
