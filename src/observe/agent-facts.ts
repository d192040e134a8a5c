/**
 * What an agent knows of itself at one moment, as one plain record. The daemon fills it in; health and status are pure
 * functions of it, so that what a user is told can be tested without an agent. Null is "not known yet".
 */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';

export type RaftRole = 'leader' | 'follower' | 'candidate' | 'learner';
export type PathState = 'direct' | 'vxlan' | 'down' | 'unproven';

export interface NodeRef {
  readonly id: string;
  readonly name: string;
}

export interface NodeFacts extends NodeRef {
  readonly publicIp: Ip | null;
  readonly publicIpv6: Ip | null;
  readonly iface: string | null;
}

export interface UdpBlockedPeer {
  readonly name: string;
  /** Where the datagrams go. */
  readonly port: number;
}

export interface RaftFacts {
  readonly role: RaftRole;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly leader: NodeRef | null;
  readonly voters: number;
  readonly learners: number;
  /** Voters this host has not heard of within an election timeout (a leader: has no contact with). */
  readonly missingVoters: readonly NodeRef[];
  /** Hosts to which datagrams do not arrive, so that TCP carries everything. */
  readonly udpBlocked: readonly UdpBlockedPeer[];
  /** Milliseconds since this host last knew its state to be the leader's; 0 while it is current. */
  readonly staleMs: number;
}

export interface OwnLeaseFacts {
  readonly subnet: Cidr | null;
  readonly ipv6Subnet: Cidr | null;
  readonly mtu: number;
  /** Wall clock, ISO 8601: for display only. */
  readonly expiresAt: string | null;
}

export interface RouteFacts {
  readonly desired: number;
  readonly installed: number;
  /** Since the agent started. */
  readonly repaired: number;
  /** Destinations we need that somebody else's route occupies. */
  readonly foreign: number;
}

/** One way to a peer, whether it is used or not. */
export interface CandidateFacts {
  /** `impossible`: there is no such way. `unknown`: nobody has answered yet. */
  readonly state: 'proven' | 'dead' | 'unknown' | 'impossible';
  readonly rttMs: number | null;
  /** Of the last probes, 0 to 1. */
  readonly loss: number | null;
  /** The longest packet that probes have shown to get through. */
  readonly mtu: number | null;
  readonly reason: string | null;
}

export interface PeerFacts extends NodeRef {
  readonly publicIp: Ip | null;
  readonly publicIpv6?: Ip | null;
  readonly subnet: Cidr | null;
  readonly ipv6Subnet?: Cidr | null;
  readonly path: PathState;
  /** The peer could be reached without a tunnel: on-link, the backend wants it, and probes do not say otherwise. */
  readonly directPossible: boolean;
  /** The route of the chosen path is in the kernel. */
  readonly installed: boolean;
  readonly since: string | null;
  readonly rttMs: number | null;
  readonly loss: number | null;
  readonly mtu: number | null;
  readonly reason: string | null;
  readonly direct?: CandidateFacts | null;
  readonly vxlan?: CandidateFacts | null;
}

/** `error` makes the host degraded, `warning` is only shown. */
export type Severity = 'error' | 'warning';

export interface Problem {
  /** Stable, kebab-case. */
  readonly code: string;
  readonly severity: Severity;
  /** One sentence: what, where. */
  readonly text: string;
  /** One sentence: what to do. */
  readonly fix: string;
}

export interface AgentFacts {
  readonly version: string;
  readonly clusterId: string | null;
  readonly node: NodeFacts;
  /** Null while the replica is not running, such as with a damaged database: the data plane goes on without it. */
  readonly raft: RaftFacts | null;
  readonly lease: OwnLeaseFacts | null;
  /** Firewall rules and subnet.env are in place and the route table has been synchronised once. */
  readonly ready: boolean;
  readonly routes: RouteFacts;
  /** Without this host. */
  readonly peers: readonly PeerFacts[];
  /** What the parts report of themselves (`two-clusters`); what follows from the facts above is added by
   *  health. */
  readonly problems: readonly Problem[];
}
