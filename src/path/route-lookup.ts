/**
 * Proofs by the kernel's own route lookup: a peer is direct when packets to its public address leave on our interface
 * without a gateway. Asked again whenever links, addresses, routes or rules change, so a VPN that comes up is seen.
 * It says that the L2 is meant to carry the packets, not that it does.
 */
import { type Kernel, KernelError, type KernelEvent } from '../dataplane/kernel.ts';
import { ROUTE_PROTOCOL } from '../dataplane/ownership.ts';
import { Throttle } from '../dataplane/throttle.ts';
import { hostCidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { RouteAnswer } from '../net/link.ts';
import type { DirectProof } from './candidate.ts';

/** Rounds that events may cause: a routing daemon at work must not keep us asking. */
const ROUNDS_BURST = 10;
const ROUNDS_PER_SECOND = 4;
const RETRY_MS = 1_000;

export interface RouteLookupOptions {
  readonly kernel: Pick<Kernel, 'lookup' | 'onEvent' | 'concern'>;
  /** Some proof is not what it was. */
  readonly onChange: () => void;
}

export class RouteLookup implements AsyncDisposable {
  readonly #options: RouteLookupOptions;
  readonly #throttle = new Throttle(ROUNDS_BURST, ROUNDS_PER_SECOND);
  readonly #stopListening: () => void;
  #iface: string | null = null;
  #peers: readonly Ip[] = [];
  #proofs: ReadonlyMap<Ip, DirectProof> = new Map();
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;

  constructor(options: RouteLookupOptions) {
    this.#options = options;
    this.#stopListening = options.kernel.onEvent((event) => this.#onEvent(event));
  }

  /** By public address of the peer. */
  get proofs(): ReadonlyMap<Ip, DirectProof> {
    return this.#proofs;
  }

  /** Resolves when the proofs are those of these peers. */
  async setPeers(iface: string, peers: readonly Ip[]): Promise<void> {
    this.#iface = iface;
    this.#peers = [...new Set(peers)];
    this.#options.kernel.concern('route-lookup', this.#peers.map(hostCidr));
    await this.#ask();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #onEvent(event: KernelEvent): void {
    if (event.kind === 'neighbour') return;
    if (event.kind === 'route' && event.protocol === ROUTE_PROTOCOL) return;
    if (this.#timer === null) this.#askIn(this.#throttle.take(performance.now()));
  }

  #askIn(delayMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#ask();
    }, delayMs);
  }

  /** A round that began before this call may have asked too early: then one more follows it. */
  #ask(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#rounds();
    return this.#running;
  }

  /** Over in the same step as its last look at `again`. */
  async #rounds(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      await this.#round();
    }
    this.#running = null;
  }

  async #round(): Promise<void> {
    const iface = this.#iface;
    if (iface === null) return;
    const proofs = new Map<Ip, DirectProof>();
    try {
      for (const peer of this.#peers)
        proofs.set(peer, directProof(peer, iface, await this.#options.kernel.lookup(peer)));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // What was known stays true until the kernel says otherwise.
      if (this.#timer === null) this.#askIn(RETRY_MS);
      return;
    }
    const changed = !sameProofs(this.#proofs, proofs);
    this.#proofs = proofs;
    if (changed) this.#options.onChange();
  }
}

export function directProof(peer: Ip, iface: string, answer: RouteAnswer | null): DirectProof {
  const not = (reason: string): DirectProof => ({ direct: false, reason });
  if (answer === null) return not(`no route of this host leads to ${peer}`);
  if (answer.type === 'local') return not(`${peer} is an address of this host itself`);
  if (answer.type !== 'unicast') return not(`${peer} is no address of a single host here`);
  if (answer.gateway !== null) return not(`${peer} is behind the router ${answer.gateway}`);
  if (answer.iface !== iface)
    return not(`${peer} is on ${answer.iface ?? 'an unknown interface'}, not on ${iface}`);
  return { direct: true };
}

function sameProofs(a: ReadonlyMap<Ip, DirectProof>, b: ReadonlyMap<Ip, DirectProof>): boolean {
  return a.size === b.size && [...a].every(([ip, proof]) => sameProof(proof, b.get(ip)));
}

function sameProof(a: DirectProof, b: DirectProof | undefined): boolean {
  if (b === undefined || a.direct !== b.direct) return false;
  return a.direct || b.direct || a.reason === b.reason;
}
