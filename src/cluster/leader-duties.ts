/**
 * What somebody has to see to for the whole cluster, done by whoever leads: the Raft configuration follows the member
 * records, and leases whose lifetime has ended are marked absent. Decides nothing itself (src/subnet/fleet.ts and
 * cluster-time.ts do) and may be interrupted anywhere: the next leader sees the same state and goes on.
 */

import { PeerHealth } from '../../raft/runtime/peer-health.ts';
import { TsflannelError } from '../errors.ts';
import type { Log } from '../observe/log.ts';
import { expiredLeases } from '../subnet/cluster-time.ts';
import { desiredConfiguration } from '../subnet/fleet.ts';
import { leaseKey } from '../subnet/lease.ts';
import type { Replica } from './replica.ts';

/** Learners catch up between two events; lifetimes are hours. */
const INTERVAL_MS = 1_000;

export class LeaderDuties implements Disposable {
  readonly #replica: Replica;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  readonly #health = new PeerHealth();
  #busy = false;

  constructor(replica: Replica, log: Log) {
    this.#replica = replica;
    this.#log = log;
    this.#timer = setInterval(() => this.#wake(), INTERVAL_MS);
    replica.onChange(() => this.#wake());
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #wake(): void {
    if (this.#busy || this.#replica.raft.role !== 'leader') return;
    this.#busy = true;
    void this.#attend()
      .catch((error: unknown) => {
        if (!(error instanceof TsflannelError)) throw error;
        this.#log.error('leader-duty-refused', error.refusal.text, { fix: error.refusal.fix });
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  async #attend(): Promise<void> {
    const replica = this.#replica;
    const { state, raft } = replica;
    if (state === null) return;
    const health = this.#health.observe(raft, performance.now());
    const target = desiredConfiguration({
      members: [...state.members.values()].filter(({ nodeId }) => !replica.leaving.has(nodeId)),
      peers: state.peers,
      current: raft.configuration,
      health,
    });
    if (target !== null) {
      this.#log.info('configuration-change', 'The voters or learners of the cluster change.', { ...target });
      // A leader that is to vote no more hands over first: whoever leads then demotes it.
      if (target.voters.includes(replica.id)) await replica.changeConfiguration(target);
      else await replica.stepAside();
    }
    const expired = expiredLeases(state.leases.values(), replica.clusterTime);
    if (expired.length > 0) {
      await replica.proposeHere({ kind: 'mark-absent', subnets: expired.map(leaseKey) });
    }
  }
}
