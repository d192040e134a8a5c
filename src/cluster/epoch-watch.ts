/**
 * Notices that the cluster has gone on without this host: a member that it does not hear is asked, now and then, which
 * epoch it is in. The answer counts only from who holds that member's key. All that comes of it is a problem that says
 * so: what this host holds of the old epoch is nobody's to throw away but the user's.
 */
import { deadline } from '../deadline.ts';
import type { Problem } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import type { Member } from '../subnet/member.ts';
import { memberByReplica } from '../subnet/state.ts';
import type { Membership } from './cluster-file.ts';
import { probe } from './probe.ts';
import type { Replica } from './replica.ts';

/** One member is asked at a time; a host that has just come up answers the first. */
const INTERVAL_MS = 2_000;
const PROBE_MS = 1_000;

export class EpochWatch implements Disposable {
  readonly #replica: Pick<Replica, 'peers' | 'state'>;
  readonly #membership: Pick<Membership, 'clusterId' | 'epoch'>;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  readonly #stop = new AbortController();
  #turn = 0;
  #busy = false;
  #problem: Problem | null = null;

  constructor(
    replica: Pick<Replica, 'peers' | 'state'>,
    membership: Pick<Membership, 'clusterId' | 'epoch'>,
    log: Log,
  ) {
    this.#replica = replica;
    this.#membership = membership;
    this.#log = log;
    this.#timer = setInterval(() => this.#wake(), INTERVAL_MS);
  }

  /** Once there is one it stays: an epoch does not end before a newer one begins. */
  get problem(): Problem | null {
    return this.#problem;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#stop.abort();
  }

  #wake(): void {
    if (this.#busy || this.#problem !== null) return;
    const silent = this.#silentMembers();
    const member = silent[this.#turn++ % Math.max(1, silent.length)];
    if (member === undefined) return;
    this.#busy = true;
    void this.#ask(member).finally(() => {
      this.#busy = false;
    });
  }

  #silentMembers(): readonly Member[] {
    const { state } = this.#replica;
    if (state === null) return [];
    return this.#replica
      .peers()
      .filter(({ connected }) => !connected)
      .flatMap(({ replica }) => memberByReplica(state, replica) ?? []);
  }

  async #ask({ name, publicKey, address, port }: Member): Promise<void> {
    const { clusterId, epoch } = this.#membership;
    const answer = await probe(
      { host: address, port },
      ({ publicKey: key }) => key.export({ format: 'der', type: 'spki' }).toString('base64') === publicKey,
      deadline(PROBE_MS, this.#stop.signal),
    );
    if (answer === null || answer.clusterId !== clusterId || answer.epoch <= epoch) return;
    this.#problem = newerEpoch(name, answer.epoch, epoch);
    this.#log.error('newer-epoch', this.#problem.text, { fix: this.#problem.fix });
  }
}

function newerEpoch(name: string, theirs: number, ours: number): Problem {
  return {
    code: 'newer-epoch',
    severity: 'error',
    text: `The cluster has gone on without this host: ${name} is in epoch ${theirs}, this host is in epoch ${ours}.`,
    fix: `Stop this agent and join that epoch with a token of "tsflannel token create" on ${name}; node id and subnet stay.`,
  };
}
