/**
 * Holds this host's lease: acquires it once the state is here, renews it in time, and keeps true what the cluster knows
 * of this host. One attempt at a time, tried again for ever: the data plane goes on from the last lease meanwhile, so
 * nothing here may stop the agent. A refusal (all subnets taken) is reported and tried again, for one may come free.
 */

import { randomUUID } from 'node:crypto';
import { deadline } from '../deadline.ts';
import type { Refusal } from '../errors.ts';
import { TsflannelError } from '../errors.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Log } from '../observe/log.ts';
import { renewalDue } from '../subnet/cluster-time.ts';
import type { CommandResult } from '../subnet/command-result.ts';
import {
  type ClusterTime,
  type Lease,
  type LeaseAttributes,
  leaseKey,
  type NodeId,
  subnetsOf,
} from '../subnet/lease.ts';
import type { Member, MemberProfile } from '../subnet/member.ts';
import { ownLease } from '../subnet/state.ts';
import type { Proposal } from './proposer.ts';
import type { Replica } from './replica.ts';

/** What this host says of itself now; null while its interface is missing. */
export interface SelfDescription {
  readonly profile: Pick<MemberProfile, 'name' | 'address' | 'port'>;
  /** By the configuration in force. */
  readonly attributes: LeaseAttributes;
}

export interface LeaseHolderOptions {
  readonly replica: Replica;
  readonly nodeId: NodeId;
  readonly describe: () => SelfDescription | null;
  /** What this host had before, best first. */
  readonly previous: () => readonly Cidr[];
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
  /** One id until there is an answer: one that was lost is found again. */
  #requestId: string = randomUUID();
  #busy = false;
  #refusal: Refusal | null = null;
  #warned: string | null = null;
  #notBeforeMs = 0;

  constructor(options: LeaseHolderOptions) {
    this.#options = options;
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
    if (this.#busy || this.#stop.signal.aborted || performance.now() < this.#notBeforeMs) return;
    const proposal = this.#due();
    if (proposal === null) return;
    this.#busy = true;
    void this.#propose(proposal).finally(() => {
      this.#busy = false;
    });
  }

  #due(): Proposal | null {
    const { replica, nodeId, renewMarginMs } = this.#options;
    const member = replica.state?.members.get(nodeId);
    if (replica.state === null || member === undefined) return null;
    const lease = ownLease(replica.state, nodeId);
    // Renewal first: nothing that is refused may cost the lease.
    if (lease !== undefined && isRenewalDue(lease, replica.clusterTime, renewMarginMs)) {
      return { kind: 'renew', nodeId, subnet: leaseKey(lease) };
    }
    const self = this.#options.describe();
    if (self === null) return null;
    const { profile, attributes } = self;
    if (!sameProfile(member, profile)) return { kind: 'member-update', nodeId, ...profile };
    if (lease === undefined) {
      const previous = this.#options.previous();
      return { kind: 'acquire', requestId: this.#requestId, nodeId, attributes, wanted: null, previous };
    }
    this.#refusal = null;
    return sameAttributes(lease.attributes, attributes)
      ? null
      : { kind: 'update-attributes', nodeId, attributes };
  }

  async #propose(proposal: Proposal): Promise<void> {
    const signal = deadline(ATTEMPT_MS, this.#stop.signal);
    try {
      const { result } = await this.#options.replica.propose(proposal, signal);
      this.#requestId = randomUUID();
      this.#report(proposal, result);
    } catch (error) {
      if (!(error instanceof TsflannelError)) throw error;
      if (this.#stop.signal.aborted) return;
      this.#warn('lease-waiting', error.refusal, proposal);
    }
  }

  #report(proposal: Proposal, result: CommandResult): void {
    const { log } = this.#options;
    switch (result.kind) {
      case 'acquired':
        log.info('lease-acquired', `Lease ${subnetsOf(result.lease).join(', ')} acquired.`, {
          reusedFrom: result.reusedFrom,
        });
        return;
      case 'renewed':
        log.info('lease-renewed', `Lease ${subnetsOf(result.lease).join(', ')} renewed.`);
        return;
      case 'refused':
        this.#warn('lease-refused', result.refusal, proposal);
        // A refusal is an entry of the log like any other: at once again would be a loop through all disks.
        this.#notBeforeMs = performance.now() + INTERVAL_MS;
        if (proposal.kind === 'acquire') this.#refusal = result.refusal;
        return;
      default:
        this.#warned = null;
    }
  }

  /** The same again every second says nothing new. */
  #warn(event: string, { text, fix }: Refusal, proposal: Proposal): void {
    if (this.#warned === text) return;
    this.#warned = text;
    this.#options.log.warn(event, text, { command: proposal.kind, fix });
  }
}

function isRenewalDue(lease: Lease, now: ClusterTime, marginMs: number): boolean {
  return lease.state === 'absent' || now >= renewalDue(lease, marginMs);
}

function sameProfile(member: Member, profile: SelfDescription['profile']): boolean {
  return member.name === profile.name && member.address === profile.address && member.port === profile.port;
}

function sameAttributes(a: LeaseAttributes, b: LeaseAttributes): boolean {
  return (
    a.publicIp === b.publicIp &&
    a.publicIpv6 === b.publicIpv6 &&
    a.interfaceIp === b.interfaceIp &&
    a.linkMtu === b.linkMtu &&
    a.backendType === b.backendType &&
    a.backendData?.VNI === b.backendData?.VNI &&
    a.backendData?.VtepMAC === b.backendData?.VtepMAC &&
    a.backendV6Data?.VNI === b.backendV6Data?.VNI &&
    a.backendV6Data?.VtepMAC === b.backendV6Data?.VtepMAC
  );
}
