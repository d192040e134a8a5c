/**
 * Whether an agent is well, and what is wrong in words: a pure function of the facts. `degraded` means that something
 * is red while the data plane works; `no-quorum` means that the cluster cannot be changed from here right now.
 */
import type { AgentFacts, NodeRef, PeerFacts, Problem, RaftFacts, RouteFacts } from './agent-facts.ts';

export type Health = 'healthy' | 'degraded' | 'no-quorum';

/** What `status --wait` can wait for. */
export const WAIT_TARGETS = ['lease', 'ready', 'quorum', 'direct'] as const;
export type WaitTarget = (typeof WAIT_TARGETS)[number];

export function assess(facts: AgentFacts): {
  readonly health: Health;
  readonly problems: readonly Problem[];
} {
  const problems = [
    ...quorumProblems(facts.raft),
    ...udpProblems(facts.raft),
    ...startProblems(facts),
    ...routeProblems(facts.routes),
    ...facts.peers.flatMap(peerProblems),
    ...facts.problems,
  ];
  const red = problems.some((problem) => problem.severity === 'error');
  const health = hasQuorum(facts) ? (red ? 'degraded' : 'healthy') : 'no-quorum';
  return { health, problems };
}

/** Whether what `status --wait` asks for holds now. */
export function isReached(target: WaitTarget, facts: AgentFacts): boolean {
  switch (target) {
    case 'lease':
      return facts.lease !== null;
    case 'ready':
      return facts.ready;
    case 'quorum':
      return hasQuorum(facts);
    case 'direct':
      return (
        facts.ready &&
        facts.peers.every((peer) => !peer.directPossible || (peer.path === 'direct' && peer.installed))
      );
  }
}

export function hasQuorum(facts: AgentFacts): boolean {
  return facts.raft !== null && facts.raft.leader !== null;
}

function quorumProblems(raft: RaftFacts | null): Problem[] {
  if (raft === null) {
    return [
      error(
        'raft-not-running',
        'The replica of this host is not running, so it knows the cluster only as of its last start.',
        'Look for the reason in the log of the agent ("journalctl -u tsflannel", or agent.log in the run directory).',
      ),
    ];
  }
  const missing = raft.missingVoters.length === 0 ? '' : `; missing: ${names(raft.missingVoters)}`;
  if (raft.leader === null) {
    return [
      error(
        'no-quorum',
        `No leader among ${raft.voters} ${raft.voters === 1 ? 'voter' : 'voters'}${missing}.`,
        'Containers keep talking; bring the missing voters back to change the cluster.',
      ),
    ];
  }
  return raft.missingVoters.length === 0
    ? []
    : [
        error(
          'voter-missing',
          `No contact with ${raft.missingVoters.length} of ${raft.voters} voters${missing}.`,
          'Start the agent there, or look whether the network lets the agents reach each other.',
        ),
      ];
}

function udpProblems(raft: RaftFacts | null): Problem[] {
  const blocked = raft?.udpBlocked ?? [];
  if (blocked.length === 0) return [];
  const hosts = blocked.map(({ name }) => name).join(', ');
  const ports = [...new Set(blocked.map(({ port }) => port))].join(', ');
  return [
    {
      code: 'udp-blocked',
      severity: 'warning',
      text: `UDP port ${ports} does not answer on ${hosts}, so the cluster talks to them over TCP, which is slower.`,
      fix: `Let UDP port ${ports} through between the hosts, in both directions.`,
    },
  ];
}

function startProblems(facts: AgentFacts): Problem[] {
  if (facts.lease === null) {
    return [
      error(
        'no-lease',
        `Host ${facts.node.name} has no subnet yet.`,
        'Wait for it with "tsflannel status --wait lease"; it needs a quorum.',
      ),
    ];
  }
  return facts.ready
    ? []
    : [
        error(
          'not-ready',
          `The data plane of ${facts.node.name} is not programmed yet.`,
          'Wait for it with "tsflannel status --wait ready".',
        ),
      ];
}

function routeProblems(routes: RouteFacts): Problem[] {
  const problems: Problem[] = [];
  const missing = routes.desired - routes.installed - routes.foreign;
  if (routes.foreign > 0) {
    problems.push(
      error(
        'foreign-route',
        `Routes that are not ours stand in the place of ${routes.foreign} of ${routes.desired}.`,
        'See which with "tsflannel routes" and remove the foreign ones; ours follow at once.',
      ),
    );
  }
  if (missing > 0) {
    problems.push(
      error(
        'route-missing',
        `${missing} of ${routes.desired} routes are not in the kernel.`,
        'See which with "tsflannel routes"; the agent keeps trying and logs why.',
      ),
    );
  }
  return problems;
}

function peerProblems(peer: PeerFacts): Problem[] {
  if (peer.path !== 'down') return [];
  const reason = peer.reason === null ? '' : `: ${peer.reason}`;
  return [
    error(
      'peer-down',
      `Host ${peer.name} (${peer.publicIp ?? peer.publicIpv6 ?? 'address unknown'}) does not answer${reason}.`,
      'Look whether that host is up and whether packets between the two hosts are let through.',
    ),
  ];
}

function names(nodes: readonly NodeRef[]): string {
  return nodes.map((node) => node.name).join(', ');
}

function error(code: string, text: string, fix: string): Problem {
  return { code, severity: 'error', text, fix };
}
