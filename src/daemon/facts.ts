/**
 * Gathers what the parts of an agent know of themselves into the one plain record that status, health and the local API
 * are made of. Reads only; every call is a new picture.
 */
import { containerMtu } from '../backend/backend.ts';
import type { Membership } from '../cluster/cluster-file.ts';
import type { Replica } from '../cluster/replica.ts';
import type { AgentOptions } from '../config/agent-options.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import type {
  AgentFacts,
  NodeFacts,
  NodeRef,
  OwnLeaseFacts,
  PeerFacts,
  Problem,
  RaftFacts,
} from '../observe/agent-facts.ts';
import { programVersion } from '../observe/version.ts';
import { type ClusterTime, type Lease, type NodeId, subnetsOf } from '../subnet/lease.ts';
import { memberByReplica } from '../subnet/state.ts';
import type { DataPlane } from './data-plane.ts';
import type { HostWatcher } from './host-watcher.ts';
import { isDirectPossible, type PeerPath } from './peer-paths.ts';

export interface FactSources {
  readonly agent: AgentOptions;
  readonly nodeId: NodeId;
  readonly membership: Membership;
  /** Null with a damaged database. */
  readonly replica: Replica | null;
  readonly dataPlane: DataPlane;
  readonly watcher: HostWatcher;
  /** What no other source reports. */
  readonly problems: readonly Problem[];
}

export function gatherFacts(sources: FactSources): AgentFacts {
  const { dataPlane, replica, membership } = sources;
  const { stats } = dataPlane.reconciler;
  return {
    version: programVersion(),
    clusterId: membership.clusterId,
    node: nodeFacts(sources),
    raft: replica === null ? null : raftFacts(replica),
    lease: leaseFacts(sources),
    ready: dataPlane.ready,
    routes: {
      desired: stats.desired,
      installed: stats.installed,
      repaired: stats.repaired,
      foreign: stats.foreign.length,
    },
    peers: peerFacts(sources),
    problems: [...sources.problems, ...dataPlane.problems, ...interfaceProblems(sources.watcher)],
  };
}

export function nodeFacts({ agent, nodeId, watcher }: FactSources): NodeFacts {
  const { selection } = watcher;
  return {
    id: nodeId,
    name: agent.name,
    publicIp: selection?.publicIp ?? null,
    publicIpv6: selection?.publicIpv6 ?? null,
    iface: selection?.host.iface ?? null,
  };
}

export function leaseFacts({ dataPlane, replica, watcher }: FactSources): OwnLeaseFacts | null {
  const { snapshot } = dataPlane;
  const linkMtu = watcher.selection?.host.mtu ?? snapshot?.own?.attributes.linkMtu;
  if (snapshot === null || snapshot.own === null || linkMtu === undefined) return null;
  const { subnet, ipv6Subnet, expiresAt } = snapshot.own;
  return {
    subnet,
    ipv6Subnet,
    mtu: containerMtu(snapshot.config, linkMtu),
    expiresAt: replica === null ? null : wallClock(expiresAt, replica.clusterTime),
  };
}

/** Cluster time as this host's wall clock shows it: for people only. */
export function wallClock(time: ClusterTime, now: ClusterTime): string {
  return new Date(Date.now() + (time - now)).toISOString();
}

export function nodeRef(replica: Replica, nodeId: NodeId): NodeRef {
  return { id: nodeId, name: replica.state?.members.get(nodeId)?.name ?? nodeId.slice(0, 8) };
}

function raftFacts(replica: Replica): RaftFacts {
  const { role, term, commit, applied, leader, configuration } = replica.raft;
  const leading =
    leader === null || replica.state === null ? undefined : memberByReplica(replica.state, leader);
  return {
    role,
    term,
    commitIndex: commit,
    appliedIndex: applied,
    leader: leading === undefined ? null : { id: leading.nodeId, name: leading.name },
    voters: configuration.voters.length,
    learners: configuration.learners.length,
    missingVoters: replica.missingVoters(),
    udpBlocked: replica.udpBlocked(),
    staleMs: replica.staleMs(),
  };
}

function peerFacts(sources: FactSources): readonly PeerFacts[] {
  const { dataPlane } = sources;
  const { peers = [], config } = dataPlane.snapshot ?? {};
  const paths = dataPlane.paths.detailed;
  const facts = peers.map((lease) => peerFact(sources, paths, lease));
  // Whatever leads there is somebody else's, and nothing we know of.
  return config?.Backend.Type === 'alloc' ? facts.map((fact) => ({ ...fact, path: 'unproven' })) : facts;
}

function peerFact(
  { dataPlane, replica }: FactSources,
  paths: ReadonlyMap<Cidr, PeerPath>,
  lease: Lease,
): PeerFacts {
  const subnets = subnetsOf(lease);
  // Of two families the fields are about IPv4, unless only IPv6 is in trouble.
  const known = subnets.map((subnet) => paths.get(subnet)).filter((one) => one !== undefined);
  const path = known.find(({ state }) => state === 'down') ?? known[0];
  const used = path === undefined || path.kind === null ? null : path.candidates[path.kind];
  const name = replica?.state?.members.get(lease.nodeId)?.name ?? lease.nodeId.slice(0, 8);
  return {
    id: lease.nodeId,
    name,
    publicIp: lease.attributes.publicIp,
    publicIpv6: lease.attributes.publicIpv6,
    subnet: lease.subnet,
    ipv6Subnet: lease.ipv6Subnet,
    path: path?.state ?? 'down',
    directPossible: path !== undefined && isDirectPossible(path),
    installed: subnets.every((subnet) => dataPlane.reconciler.isInstalled(subnet)),
    since: path?.since.toISOString() ?? null,
    rttMs: used?.rttMs ?? null,
    loss: used?.loss ?? null,
    mtu: path === undefined || path.kind === null ? null : path.mtus[path.kind],
    reason: path?.reason ?? null,
    direct: path?.candidates.direct ?? null,
    vxlan: path?.candidates.vxlan ?? null,
  };
}

function interfaceProblems({ refusal, missing, selection }: HostWatcher): readonly Problem[] {
  if (selection !== null)
    return missing.map((family) => ({ severity: 'error', ...addressGone(selection.host.iface, family) }));
  if (refusal === null) return [];
  return [{ code: refusal.code, severity: 'error', text: refusal.text, fix: refusal.fix }];
}

/** What is ours is put back; this is the host's own, and waited for. */
function addressGone(iface: string, family: Family): Omit<Problem, 'severity'> {
  return {
    code: 'no-address',
    text: `Interface ${iface} has no IPv${family} address now, so other hosts do not reach this one over IPv${family}.`,
    fix: `Give it its address again ("ip addr add"): a link that was down has lost its IPv6 addresses. The agent goes on by itself.`,
  };
}
