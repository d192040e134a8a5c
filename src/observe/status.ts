/**
 * The document of `status --json`, and how it is made from the facts. Fields and values are only ever added. Pure.
 */
import type {
  AgentFacts,
  NodeFacts,
  NodeRef,
  OwnLeaseFacts,
  PeerFacts,
  Problem,
  RaftRole,
  RouteFacts,
} from './agent-facts.ts';
import { assess, type Health } from './health.ts';

export type StatusPeer = Omit<PeerFacts, 'directPossible' | 'installed'>;

export interface RaftStatus {
  readonly role: RaftRole | null;
  readonly term: number | null;
  readonly commitIndex: number | null;
  readonly appliedIndex: number | null;
  readonly leader: NodeRef | null;
  readonly voters: number | null;
  readonly learners: number | null;
  readonly failureTolerance: number | null;
}

export interface Status {
  readonly version: string;
  readonly health: Health;
  readonly ready: boolean;
  readonly problems: readonly Problem[];
  readonly cluster: { readonly id: string | null };
  readonly node: NodeFacts;
  readonly raft: RaftStatus;
  readonly lease: OwnLeaseFacts | null;
  readonly routes: RouteFacts;
  readonly peers: readonly StatusPeer[];
}

export function buildStatus(facts: AgentFacts): Status {
  const { health, problems } = assess(facts);
  return {
    version: facts.version,
    health,
    ready: facts.ready,
    problems,
    cluster: { id: facts.clusterId },
    node: facts.node,
    raft: raftStatus(facts),
    lease: facts.lease,
    routes: facts.routes,
    peers: facts.peers.map(({ directPossible: _, installed: __, ...peer }) => peer),
  };
}

/** How many voters may fail while a majority remains. */
export function failureTolerance(voters: number): number {
  return Math.max(0, Math.ceil(voters / 2) - 1);
}

function raftStatus({ raft }: AgentFacts): RaftStatus {
  if (raft === null) {
    return {
      role: null,
      term: null,
      commitIndex: null,
      appliedIndex: null,
      leader: null,
      voters: null,
      learners: null,
      failureTolerance: null,
    };
  }
  const { role, term, commitIndex, appliedIndex, leader, voters, learners } = raft;
  return {
    role,
    term,
    commitIndex,
    appliedIndex,
    leader,
    voters,
    learners,
    failureTolerance: failureTolerance(voters),
  };
}
