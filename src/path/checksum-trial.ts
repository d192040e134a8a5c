/**
 * Whether the NIC below a tunnel spoils the checksums that the tunnel's device leaves to it. Pure: says what to try
 * next from what was tried. The peer's kernel answers a SYN to a closed port with a reset when its checksum is right,
 * and is silent when it is not; a policy that eats the SYN is silent, too. So silence proves nothing until the same SYN
 * is answered with offload switched off, and both are seen twice: a lossy path looks like it once.
 */

export interface Tried {
  readonly offload: boolean;
  readonly answered: boolean;
}

/** `unknown`: nothing is answered either way. */
export type Verdict = 'good' | 'broken' | 'unknown';

export type Step =
  | { readonly kind: 'try'; readonly offload: boolean }
  | { readonly kind: 'over'; readonly verdict: Verdict };

/** Offload on, off, on, off, as long as each is as a broken NIC has it. */
const ROUNDS = 4;

export function nextStep(tried: readonly Tried[]): Step {
  if (tried.some(({ offload, answered }) => offload && answered)) return { kind: 'over', verdict: 'good' };
  if (tried.some(({ offload, answered }) => !offload && !answered))
    return { kind: 'over', verdict: 'unknown' };
  if (tried.length >= ROUNDS) return { kind: 'over', verdict: 'broken' };
  return { kind: 'try', offload: tried.length % 2 === 0 };
}
