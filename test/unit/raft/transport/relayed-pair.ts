/** Two members with a relay between them, and what tests of members wait for. They end with the test. */
import { expect, onTestFinished, vi } from 'vitest';
import { type ReplicaId, toReplicaId } from '../../../../raft/core/types.ts';
import { Cluster, datagramsTo, isConnected, type Member } from './members.ts';
import { Relay } from './relay.ts';

const patience = { timeout: 20_000, interval: 10 };
const [one, two] = [toReplicaId(1), toReplicaId(2)];

export async function cluster(size: number): Promise<Cluster> {
  const made = await Cluster.of(size);
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

export function eventually(check: () => void): Promise<void> {
  return vi.waitFor(check, patience);
}

export async function connected(member: Member, to: ReplicaId): Promise<void> {
  await eventually(() => expect(isConnected(member, to)).toBe(true));
}

export function events(member: Member): string[] {
  return member.logged.map(({ event }) => event);
}

/** 1 dials 2 through a relay; 2 never gets to dial, because it has a session before its delay ends. */
export async function relayedPair(): Promise<{ cluster: Cluster; a: Member; b: Member; relay: Relay }> {
  const both = await cluster(2);
  const a = await both.start(one);
  const b = await both.start(two);
  const relay = await Relay.start(b.transport.port);
  onTestFinished(() => relay[Symbol.asyncDispose]());
  both.setEndpoint(two, relay.port);
  // Nobody is there: only 1 can dial.
  both.setEndpoint(one, 9);
  a.transport.setPeers([two]);
  b.transport.setPeers([one]);
  await eventually(() => expect([datagramsTo(a, two), datagramsTo(b, one)]).toEqual(['ok', 'ok']));
  return { cluster: both, a, b, relay };
}
