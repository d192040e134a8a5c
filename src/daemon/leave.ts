/**
 * Leaving the cluster from the host itself: refuses what would cost the quorum or cut containers, else gives the lease
 * back and takes the host out of the log. The kernel is cleaned by the command line once the agent has stopped.
 */
import { readdir } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Replica } from '../cluster/replica.ts';
import type { Left } from '../control/answers.ts';
import { LEASE_BRIDGES } from '../docker/names.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import { type Cidr, cidrContains } from '../net/cidr.ts';
import { parseIp } from '../net/ip.ts';
import { subnetsOf } from '../subnet/lease.ts';
import { type FactSources, nodeRef } from './facts.ts';
import { quorumRefusal } from './quorum.ts';

export async function leaveCluster(
  sources: FactSources,
  replica: Replica,
  yes: boolean,
  signal: AbortSignal,
): Promise<Left> {
  const refusal = (await containersRefusal(sources, yes)) ?? (await goingRefusal(sources, replica, signal));
  if (refusal !== null) throw new TsflannelError(refusal);
  const node = nodeRef(replica, sources.nodeId);
  const subnet = sources.dataPlane.snapshot?.own?.subnet ?? null;
  const { result } = await replica.propose(
    { kind: 'member-remove', nodeId: sources.nodeId, keepsLease: false },
    signal,
  );
  // Of a repetition whose first answer was lost.
  const isGone = result.kind === 'refused' && result.refusal.code === 'not-a-member';
  if (result.kind === 'refused' && !isGone) throw new TsflannelError(result.refusal);
  return { node, subnet };
}

/** Null when the cluster can do without this host. */
async function goingRefusal(
  { nodeId }: FactSources,
  replica: Replica,
  signal: AbortSignal,
): Promise<Refusal | null> {
  while (replica.raft.leader === null) {
    if (signal.aborted) return replica.noQuorum();
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined); // the loop sees the abort
  }
  const { state } = replica;
  if (state?.members.size === 1) return lastMember();
  const member = state?.members.get(nodeId);
  return member === undefined ? null : quorumRefusal(replica, member);
}

function lastMember(): Refusal {
  return refuse(
    'last-member',
    EXIT.failed,
    'This host is the last member of the cluster.',
    'Run "tsflannel down --purge" to end the cluster.',
  );
}

/** Between looks for a leader: one that was just elected is known within a heartbeat. */
const POLL_MS = 20;

/** Containers on a bridge that has the lease. */
async function containersRefusal({ dataPlane }: FactSources, yes: boolean): Promise<Refusal | null> {
  const own = dataPlane.snapshot?.own ?? null;
  if (yes || own === null) return null;
  const interfaces = networkInterfaces(); // those that carry something, which is what counts
  const bridges = LEASE_BRIDGES.filter((name) =>
    interfaces[name]?.some(({ address }) => isIn(address, subnetsOf(own))),
  );
  for (const bridge of bridges) {
    const ports = await readdir(`/sys/class/net/${bridge}/brif`).catch(() => []); // it has just gone
    if (ports.length > 0) return containersOnLease(ports.length, bridge);
  }
  return null;
}

function isIn(address: string, subnets: readonly Cidr[]): boolean {
  const ip = parseIp(address);
  return ip !== undefined && subnets.some((subnet) => cidrContains(subnet, ip));
}

function containersOnLease(count: number, bridge: string): Refusal {
  return refuse(
    'containers-on-lease',
    EXIT.unsafe,
    `${count === 1 ? '1 container uses' : `${count} containers use`} the lease of this host on ${bridge} and would be cut off.`,
    'Stop them first, or run "tsflannel leave --yes".',
  );
}
