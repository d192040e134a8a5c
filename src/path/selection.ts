/**
 * Which way packets for a peer take. Pure: the candidates, what probes say of them and the time come in, and what was
 * chosen before. Direct while it is proven, vxlan otherwise. A dead path is left as soon as the other one has answered
 * after it fell silent; going back needs ten seconds of proof and happens at most once a minute. Where nothing answers
 * the last path stays: a policy may eat the probes and not the packets.
 */
import type { Candidate, PathKind } from './candidate.ts';
import type { Evidence } from './evidence.ts';

/** Of proof, before a path that failed is used again. */
export const RETURN_PROOF_MS = 10_000;
/** Between two returns. */
export const RETURN_PAUSE_MS = 60_000;
/** A lossy path is not proven for ten seconds by the two ends of them. */
const RETURN_ANSWERS = 4;

export type PathState = 'direct' | 'vxlan' | 'down' | 'unproven';

export interface Selected {
  /** Whose route is to be in the kernel; null where no way is possible. */
  readonly kind: PathKind | null;
  readonly state: PathState;
  /** Why it is not direct where the configuration wants that, or why it is down or not proven. Null otherwise. */
  readonly reason: string | null;
  /** Direct was chosen before, so choosing it again is a return. */
  readonly directBefore: boolean;
  /** Direct was left because probes said so, so a return needs more than one answer. */
  readonly failedBefore: boolean;
  readonly returnedAtMs: number | null;
}

/** One candidate and what is known of it. */
export interface Way {
  readonly candidate: Candidate;
  readonly evidence: Evidence;
}
export type Ways = Readonly<Record<PathKind, Way>>;

/** Of a peer that is new to this process. `inKernel`: the way our route of an earlier process takes, which is right until
 *  proven wrong; nobody knows when it was chosen, so a return has to wait as if that had been now. */
export function firstSelected(inKernel: PathKind | null, nowMs: number): Selected {
  return {
    kind: inKernel,
    state: 'unproven',
    reason: null,
    directBefore: inKernel !== null,
    failedBefore: inKernel === 'vxlan',
    returnedAtMs: inKernel === null ? null : nowMs,
  };
}

export function select(before: Selected, ways: Ways, nowMs: number): Selected {
  const kind = nextKind(before, ways, nowMs);
  const entersDirect = kind === 'direct' && before.kind !== 'direct';
  const isOrWasDirect = kind === 'direct' || before.kind === 'direct';
  const directBefore = before.directBefore || (isOrWasDirect && answered(ways.direct));
  const leavesDirect = kind === 'vxlan' && before.kind === 'direct';
  return {
    kind,
    ...stateOf(kind, ways),
    directBefore,
    failedBefore: leavesDirect ? ways.direct.candidate.possible && directBefore : before.failedBefore,
    returnedAtMs: entersDirect && before.directBefore ? nowMs : before.returnedAtMs,
  };
}

function nextKind(before: Selected, ways: Ways, nowMs: number): PathKind | null {
  const { direct, vxlan } = ways;
  if (!direct.candidate.possible) return vxlan.candidate.possible ? 'vxlan' : null;
  if (!vxlan.candidate.possible) return 'direct';
  if (before.kind === 'direct') return isToLeave(direct.evidence, vxlan.evidence) ? 'vxlan' : 'direct';
  if (before.kind === 'vxlan' && isToLeave(vxlan.evidence, direct.evidence)) return 'direct';
  return mayGoDirect(before, direct.evidence, vxlan.evidence, nowMs) ? 'direct' : 'vxlan';
}

/**
 * The used path is dead and the other one is not: it answered a probe that was sent when the used one was silent
 * already, and a probe on the used one after that was lost as well. So a host that stops or comes back, on both paths at
 * about the same time, causes no change.
 */
function isToLeave(used: Evidence, other: Evidence): boolean {
  const { state, silentFromMs, lastLostSentMs } = used;
  if (state !== 'dead' || silentFromMs === null || lastLostSentMs === null) return false;
  const answered = other.state === 'proven' ? other.answeredSince(silentFromMs) : null;
  return answered !== null && lastLostSentMs >= answered;
}

function mayGoDirect(before: Selected, direct: Evidence, vxlan: Evidence, nowMs: number): boolean {
  if (!direct.everAnswered)
    // Neither ever answered: a policy eats the probes, or nobody is there. Then what the route lookup says.
    return !before.failedBefore && direct.state === 'dead' && !vxlan.everAnswered && vxlan.state === 'dead';
  if (direct.state !== 'proven' || direct.row > 0) return false;
  if (!before.directBefore) return true;
  if (before.returnedAtMs !== null && nowMs - before.returnedAtMs < RETURN_PAUSE_MS) return false;
  if (!before.failedBefore) return true;
  return direct.provenForMs(nowMs) >= RETURN_PROOF_MS && direct.answers >= RETURN_ANSWERS;
}

function stateOf(kind: PathKind | null, ways: Ways): Pick<Selected, 'state' | 'reason'> {
  if (kind === null) return { state: 'down', reason: whyImpossible(ways) };
  const used = ways[kind];
  const other = ways[kind === 'direct' ? 'vxlan' : 'direct'];
  if (used.evidence.state === 'proven')
    return { state: kind, reason: kind === 'direct' ? null : whyNotDirect(ways.direct) };
  if (!answered(used) && !answered(other)) return { state: 'unproven', reason: whyUnproven(used) };
  if (used.evidence.state === 'unknown') return { state: 'unproven', reason: NOT_YET };
  // Until the other one has answered, or has not, nobody knows better.
  if (other.candidate.possible && other.evidence.state !== 'dead')
    return { state: kind, reason: `the ${kind} path has just stopped answering` };
  return { state: 'down', reason: 'no probe is answered on any path any more' };
}

const NOT_YET = 'no probe was answered yet';

function answered({ candidate, evidence }: Way): boolean {
  return candidate.possible && evidence.everAnswered;
}

function whyUnproven({ evidence }: Way): string {
  return evidence.state === 'dead' ? 'no probe was ever answered; a packet filter may drop them' : NOT_YET;
}

/** Null where the configuration does not want it to be. */
function whyNotDirect({ candidate, evidence }: Way): string | null {
  if (!candidate.possible) return candidate.wanted ? candidate.reason : null;
  switch (evidence.state) {
    case 'unknown':
      return 'the direct path has not answered yet';
    case 'dead':
      return evidence.everAnswered
        ? 'the direct path stopped answering'
        : 'the direct path has never answered: something between the hosts drops packets of containers';
    case 'proven':
      return 'the direct path answers again and is used once it has for a while';
  }
}

function whyImpossible({ direct, vxlan }: Ways): string {
  const reasons = [direct, vxlan].flatMap(({ candidate }) => (candidate.possible ? [] : [candidate]));
  const wanted = reasons.filter((candidate) => candidate.wanted || candidate === vxlan.candidate);
  return [...new Set(wanted.map(({ reason }) => reason))].join(', and ');
}
