/**
 * Before a cluster is founded: asks the hosts that `init --peers` names whether one of them is in a cluster already, or
 * is founding one itself and names this host. Of two that do so at once the one with the higher address refuses, so
 * that two clusters never come from one set of hosts. Silence and refused connections do not count.
 */
import type { Endpoint } from '../../raft/transport/transport.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { compareIp, type Ip } from '../net/ip.ts';
import { formatEndpoint } from './join.ts';
import { probe } from './probe.ts';
import type { ProbeAnswer } from './rpc.ts';

/** How far this host is. */
export type FoundingRound = 'initialising' | 'founding';

/** A host on the same network answers in milliseconds; one that is down must not hold up `init`. */
export const PROBE_MS = 1_000;

/**
 * Null when nothing speaks against founding. Asked twice: while this host answers `initialising`, and again once it
 * answers `founding`, for a peer that began to listen in between.
 */
export async function askNamedPeers(
  self: Ip,
  clusterId: string,
  peers: readonly Endpoint[],
  round: FoundingRound,
): Promise<Refusal | null> {
  const signal = AbortSignal.timeout(PROBE_MS);
  const refusals = await Promise.all(
    peers.map(async (peer) => {
      const answer = await probe(peer, () => true, signal);
      return answer === null || answer.clusterId === clusterId ? null : judge(self, peer, answer, round);
    }),
  );
  return refusals.find((refusal) => refusal !== null) ?? null;
}

/** What an answer of another host means for ours. Pure. */
export function judge(self: Ip, peer: Endpoint, answer: ProbeAnswer, round: FoundingRound): Refusal | null {
  if (answer.state === 'member') return inAnotherCluster(peer, answer);
  if (!answer.peers.includes(self)) return null;
  // Who has decided goes on before who has not; of two that are as far, the lower address.
  const isAhead = answer.state === 'founding' && round === 'initialising';
  if (!isAhead && compareIp(self, answer.address) < 0) return null;
  return refuse(
    'founded-elsewhere',
    EXIT.conflict,
    `The host at ${formatEndpoint(peer)} founds a cluster right now and names this host as a voter.`,
    'Run the "tsflannel join" line that it prints on this host.',
  );
}

function inAnotherCluster(peer: Endpoint, answer: ProbeAnswer): Refusal {
  return refuse(
    'peer-in-cluster',
    EXIT.conflict,
    `The host at ${formatEndpoint(peer)} is a member of cluster ${answer.clusterId} already.`,
    'Join that cluster with a token of "tsflannel token create", or run "tsflannel leave" there first.',
  );
}
