/**
 * The ways there are to a peer's subnet, before anybody has tried them: what the configuration wants, what the route
 * lookup says of the L2, what the peer publishes. Pure. A way that is not possible says why in half a sentence.
 */
import type { BackendConfig } from '../config/network-config.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { LeaseSide, VxlanData } from '../subnet/lease.ts';

export type PathKind = 'direct' | 'vxlan';
export const PATH_KINDS: readonly PathKind[] = ['direct', 'vxlan'];

/** Whether the peer's public address can be reached directly on our interface, and if not, why. */
export type DirectProof = { readonly direct: true } | { readonly direct: false; readonly reason: string };

export type Candidate =
  /** `via`: where the packets are sent to, on the L2 or around the tunnel's. `mtu`: the longest that both ends' links allow. */
  | { readonly possible: true; readonly via: Ip; readonly mtu: number }
  /** `wanted` is false where the configuration has no such path. */
  | { readonly possible: false; readonly wanted: boolean; readonly reason: string };

/** One subnet of a peer, and both ways to it. */
export interface PathTarget {
  readonly subnet: Cidr;
  readonly direct: Candidate;
  readonly vxlan: Candidate;
}

/** The longest packets by kind of path, as the links of both ends have them. */
export type LinkMtus = Readonly<Record<PathKind, number>>;

/** What the kernel is to hold for one subnet of a peer. */
export interface ChosenPath {
  /** Whose route it is; null where there is no way. */
  readonly kind: PathKind | null;
  /** The longest packet on each way, whether it is chosen or only probed; null where it is not possible. */
  readonly mtus: Readonly<Record<PathKind, number | null>>;
}

export function pathTarget(
  backend: BackendConfig,
  { subnet, publicIp, vxlan }: LeaseSide,
  proof: DirectProof | undefined,
  mtus: LinkMtus,
): PathTarget {
  if (backend.Type === 'alloc') {
    const none = unwanted('the alloc backend sets up no paths');
    return { subnet, direct: none, vxlan: none };
  }
  const known: DirectProof = proof ?? { direct: false, reason: 'the way to it is not known yet' };
  return {
    subnet,
    direct: directCandidate(backend, known, { possible: true, via: publicIp, mtu: mtus.direct }),
    vxlan: vxlanCandidate(backend, vxlan, { possible: true, via: publicIp, mtu: mtus.vxlan }),
  };
}

function directCandidate(backend: BackendConfig, known: DirectProof, direct: Candidate): Candidate {
  if (backend.Type === 'vxlan' && !backend.DirectRouting)
    return unwanted('the configuration wants every packet in the tunnel');
  return known.direct ? direct : { possible: false, wanted: true, reason: known.reason };
}

function vxlanCandidate(backend: BackendConfig, device: VxlanData | null, vxlan: Candidate): Candidate {
  if (backend.Type === 'host-gw' && backend.Fallback === 'none')
    return unwanted('the configuration has no fallback');
  return device === null ? { possible: false, wanted: true, reason: 'it publishes no vxlan device' } : vxlan;
}

function unwanted(reason: string): Candidate {
  return { possible: false, wanted: false, reason };
}
