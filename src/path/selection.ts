/**
 * Which way packets for a peer take: directly over the L2, through vxlan, or none. Pure: what is known of the direct
 * way comes in as a proof, whoever made it. Never decides by comparing addresses with networks.
 */
import type { BackendConfig } from '../config/network-config.ts';
import type { Lease } from '../subnet/lease.ts';

/** Whether the peer's public address can be reached directly on our interface, and if not, why. */
export type DirectProof = { readonly direct: true } | { readonly direct: false; readonly reason: string };

export interface ChosenPath {
  readonly kind: 'direct' | 'vxlan' | 'down';
  /** Why it is not direct where the backend wants that, or why it is down. Null otherwise. */
  readonly reason: string | null;
  /** The backend wants direct paths and a proof says that this one is. */
  readonly directPossible: boolean;
}

export function selectPath(backend: BackendConfig, peer: Lease, proof: DirectProof | undefined): ChosenPath {
  if (backend.Type === 'alloc') return down('the alloc backend sets up no paths');
  const wantsDirect = backend.Type === 'host-gw' || backend.DirectRouting;
  const known: DirectProof = proof ?? { direct: false, reason: 'the way to it is not known yet' };
  if (wantsDirect && known.direct) return { kind: 'direct', reason: null, directPossible: true };
  const reason = !wantsDirect || known.direct ? null : known.reason;
  if (backend.Type === 'host-gw' && backend.Fallback === 'none')
    return down(`${reason}, and the configuration has no fallback`);
  if (peer.attributes.backendData === null)
    return down(`${reason === null ? '' : `${reason}, and `}it publishes no vxlan device`);
  return { kind: 'vxlan', reason, directPossible: false };
}

function down(reason: string): ChosenPath {
  return { kind: 'down', reason, directPossible: false };
}
