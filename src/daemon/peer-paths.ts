/**
 * The paths to all peers as the data plane and its users see them: route lookups say which ways there are, probes which
 * of them carry packets. Translates leases into what the prober is to look at, and what it found into words; decides
 * nothing. The first time it reads from the kernel which ways our routes take, so that a restart changes none of them.
 */
import { linkMtus } from '../backend/backend.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import type { Kernel } from '../dataplane/kernel.ts';
import { isOurRoute, MAIN_TABLE } from '../dataplane/ownership.ts';
import { type Cidr, cidrBase } from '../net/cidr.ts';
import { FAMILIES } from '../net/ip.ts';
import type { CandidateFacts } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import { type ChosenPath, type PathKind, type PathTarget, pathTarget } from '../path/candidate.ts';
import type { HostFacts } from '../path/interface-selection.ts';
import type { PeerPaths as ProbedPeer } from '../path/path-table.ts';
import { type OpenProbeSocket, Prober } from '../path/prober.ts';
import { RouteLookup } from '../path/route-lookup.ts';
import type { Selected } from '../path/selection.ts';
import { type LeaseSide, type LeaseSnapshot, leaseSide, subnetOf } from '../subnet/lease.ts';

export interface PeerPathsOptions {
  readonly kernel: Kernel;
  readonly log: Log;
  /** The ways that there are have changed. */
  readonly onLookup: () => void;
  /** Another way is chosen, or its MTU is not what it was. */
  readonly onProof: () => void;
  readonly open?: OpenProbeSocket;
}

/** The path to one subnet, and since when it is this one. */
export interface PeerPath extends ChosenPath, Pick<Selected, 'state' | 'reason'> {
  readonly since: Date;
  readonly candidates: Readonly<Record<PathKind, CandidateFacts>>;
}

export class PeerPaths implements AsyncDisposable {
  readonly #options: PeerPathsOptions;
  readonly #lookup: RouteLookup;
  readonly #prober: Prober;
  #inKernel: ReadonlyMap<Cidr, PathKind> | null = null;
  #current: ReadonlyMap<Cidr, PeerPath> = new Map();

  constructor(options: PeerPathsOptions) {
    this.#options = options;
    const { kernel, open, onLookup, onProof } = options;
    this.#lookup = new RouteLookup({ kernel, onChange: onLookup });
    this.#prober = new Prober({
      ...(open === undefined ? {} : { open }),
      onChange: () => {
        this.#look();
        onProof();
      },
    });
  }

  /** By subnet. */
  get current(): ReadonlyMap<Cidr, PeerPath> {
    return this.#current;
  }

  /** With what is known of each candidate at this moment. */
  get detailed(): ReadonlyMap<Cidr, PeerPath> {
    this.#look();
    return this.#current;
  }

  /** Resolves when there is a choice for each peer. Rejects with a KernelError. */
  async update({ config, own, peers }: LeaseSnapshot<NetworkConfig>, host: HostFacts): Promise<void> {
    const sides = FAMILIES.flatMap((family) =>
      peers.flatMap((peer) => {
        const side = leaseSide(peer, family);
        return side === null ? [] : [{ side, linkMtu: peer.attributes.linkMtu }];
      }),
    );
    await this.#lookup.setPeers(
      host.iface,
      sides.map(({ side }) => side.publicIp),
    );
    this.#inKernel ??= await this.#readKernel();
    const target = ({
      side,
      linkMtu,
    }: {
      readonly side: LeaseSide;
      readonly linkMtu: number;
    }): PathTarget => {
      const mtus = linkMtus(config.Backend, host.mtu, linkMtu, side.family);
      return pathTarget(config.Backend, side, this.#lookup.proofs.get(side.publicIp), mtus);
    };
    const subnets = own === null ? [] : FAMILIES.flatMap((family) => subnetOf(own, family) ?? []);
    this.#prober.setTargets(subnets.map(cidrBase), sides.map(target), this.#inKernel);
    this.#look();
  }

  /** Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#prober[Symbol.dispose]();
    await this.#lookup.close();
  }

  async #readKernel(): Promise<ReadonlyMap<Cidr, PathKind>> {
    const { routes, links } = await this.#options.kernel.read();
    const tunnels = new Set(links.filter(({ kind }) => kind === 'vxlan').map(({ name }) => name));
    return new Map(
      routes
        .filter((route) => isOurRoute(route) && route.table === MAIN_TABLE && route.iface !== null)
        .map(({ dst, iface }) => [dst, tunnels.has(iface ?? '') ? 'vxlan' : 'direct']),
    );
  }

  #look(): void {
    this.#current = new Map(
      [...this.#prober.peers].map(([subnet, peer]) => [subnet, this.#withSince(subnet, peer)]),
    );
  }

  #withSince(subnet: Cidr, { selected, ways }: ProbedPeer): PeerPath {
    const { kind, state, reason } = selected;
    const before = this.#current.get(subnet);
    const same = before !== undefined && before.kind === kind && before.state === state;
    if (!same) this.#tell(subnet, selected);
    const mtu = (each: PathKind): number | null =>
      ways[each].candidate.possible ? ways[each].mtu.mtu : null;
    return {
      ...{ kind, state, reason },
      since: same ? before.since : new Date(),
      mtus: { direct: mtu('direct'), vxlan: mtu('vxlan') },
      candidates: { direct: candidateFacts(ways.direct), vxlan: candidateFacts(ways.vxlan) },
    };
  }

  #tell(subnet: Cidr, { kind, state, reason }: Selected): void {
    const { log } = this.#options;
    const why = reason === null ? '' : `: ${reason}`;
    const way = state === kind || kind === null ? '' : `, its route is ${kind}`;
    const text = `The path to ${subnet} is ${state}${way}${why}.`;
    if (state === 'down') log.warn('path-chosen', text, { subnet, path: state });
    else log.info('path-chosen', text, { subnet, path: state });
  }
}

function candidateFacts({ candidate, evidence, mtu }: ProbedPeer['ways'][PathKind]): CandidateFacts {
  if (!candidate.possible)
    return { state: 'impossible', rttMs: null, loss: null, mtu: null, reason: candidate.reason };
  const { state, rttMs, loss, everAnswered } = evidence;
  const known = { state, rttMs: rounded(rttMs, 2), loss: rounded(loss, 3), mtu: mtu.proven };
  switch (state) {
    case 'unknown':
      return { ...known, reason: 'it has not answered yet' };
    case 'dead':
      return { ...known, reason: everAnswered ? 'it stopped answering' : 'it has never answered' };
    case 'proven': {
      const less = mtu.mtu < candidate.mtu;
      return { ...known, reason: less ? `packets longer than ${mtu.mtu} bytes are lost on the way` : null };
    }
  }
}

function rounded(value: number | null, digits: number): number | null {
  return value === null ? null : Number(value.toFixed(digits));
}

/** Direct is what the configuration wants and the lookup allows, and nothing says yet that it does not work. */
export function isDirectPossible({ candidates }: PeerPath): boolean {
  return candidates.direct.state === 'unknown' || candidates.direct.state === 'proven';
}
