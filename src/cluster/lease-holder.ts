/**
 * Holds this host's lease: acquires it once the state is here, renews it in time, and keeps what it says of this host
 * true. One attempt at a time, tried again for ever: the data plane goes on from the last lease meanwhile, so nothing
 * here may stop the agent. A refusal (all subnets taken) is reported and tried again, for a lease may come free.
 */
import { randomUUID } from 'node:crypto';
import type { Refusal } from '../errors.ts';
import { TsflannelError } from '../errors.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Log } from '../observe/log.ts';
import { renewalDue } from '../subnet/cluster-time.ts';
import type { CommandResult } from '../subnet/command-result.ts';
import type { LeaseAttributes, NodeId } from '../subnet/lease.ts';
import { ownLease } from '../subnet/state.ts';
import type { Proposal } from './proposer.ts';
import type { Replica } from './replica.ts';

export interface LeaseHolderOptions {
  readonly replica: Replica;
  readonly nodeId: NodeId;
  /** What peers need to know of this host, by the configuration in force; null while the interface is missing. */
  readonly attributes: () => LeaseAttributes | null;
  /** `--subnet`. */
  readonly wanted: Cidr | null;
  /** What this host had before, best first. */
  readonly previous: readonly Cidr[];
  readonly renewMarginMs: number;
  readonly log: Log;
}

const ATTEMPT_MS = 10_000;
/** Between attempts and between looks at the clock. */
const INTERVAL_MS = 1_000;

export class LeaseHolder implements Disposable {
  readonly #options: LeaseHolderOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #stop = new AbortController();
  /** One id for all attempts at the same lease: an answer that was lost is found again. */
  readonly #requestId = randomUUID();
  readonly #firstOutcome: (refusal: Refusal | null) => void;
  /** Resolves when the lease is here (null) or the cluster has refused one. */
  readonly first: Promise<Refusal | null>;
  #busy = false;
  #refusal: Refusal | null = null;

  constructor(options: LeaseHolderOptions) {
    this.#options = options;
    let settle: (refusal: Refusal | null) => void = () => undefined;
    this.first = new Promise((resolve) => {
      settle = resolve;
    });
    this.#firstOutcome = settle;
    this.#timer = setInterval(() => this.wake(), INTERVAL_MS);
    options.replica.onChange(() => this.wake());
    this.wake();
  }

  /** Why there is no lease, in the cluster's words. */
  get refusal(): Refusal | null {
    return this.#refusal;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#stop.abort();
  }

  /** Something changed: looks whether anything is to be done now. */
  wake(): void {
    if (this.#busy || this.#stop.signal.aborted) return;
    const proposal = this.#due();
    if (proposal === null) return;
    this.#busy = true;
    void this.#propose(proposal).finally(() => {
      this.#busy = false;
    });
  }

  #due(): Proposal | null {
    const { replica, nodeId, renewMarginMs } = this.#options;
    const attributes = this.#options.attributes();
    if (replica.state === null || attributes === null || !replica.state.members.has(nodeId)) return null;
    const lease = ownLease(replica.state, nodeId);
    if (lease === undefined) {
      const { wanted, previous } = this.#options;
      return { kind: 'acquire', requestId: this.#requestId, nodeId, attributes, wanted, previous };
    }
    this.#settled();
    if (!sameAttributes(lease.attributes, attributes))
      return { kind: 'update-attributes', nodeId, attributes };
    const due = lease.state === 'absent' || replica.clusterTime >= renewalDue(lease, renewMarginMs);
    return due ? { kind: 'renew', nodeId, subnet: lease.subnet } : null;
  }

  #settled(): void {
    this.#refusal = null;
    this.#firstOutcome(null);
  }

  async #propose(proposal: Proposal): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ATTEMPT_MS)]);
    try {
      const { result } = await this.#options.replica.propose(proposal, signal);
      this.#report(proposal, result);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (!(error instanceof TsflannelError)) throw error;
      this.#options.log.warn('lease-waiting', error.refusal.text, { command: proposal.kind });
    }
  }

  #report(proposal: Proposal, result: CommandResult): void {
    const { log } = this.#options;
    switch (result.kind) {
      case 'acquired':
        log.info('lease-acquired', `Lease ${result.lease.subnet} acquired.`, {
          reusedFrom: result.reusedFrom,
        });
        return;
      case 'renewed':
        log.info('lease-renewed', `Lease ${result.lease.subnet} renewed.`);
        return;
      case 'refused':
        log.warn('lease-refused', result.refusal.text, { command: proposal.kind, fix: result.refusal.fix });
        if (proposal.kind !== 'acquire') return;
        this.#refusal = result.refusal;
        this.#firstOutcome(result.refusal);
        return;
      default:
        return;
    }
  }
}

function sameAttributes(a: LeaseAttributes, b: LeaseAttributes): boolean {
  return (
    a.publicIp === b.publicIp &&
    a.publicIpv6 === b.publicIpv6 &&
    a.interfaceIp === b.interfaceIp &&
    a.linkMtu === b.linkMtu &&
    a.backendType === b.backendType &&
    a.backendData?.VNI === b.backendData?.VNI &&
    a.backendData?.VtepMAC === b.backendData?.VtepMAC
  );
}
