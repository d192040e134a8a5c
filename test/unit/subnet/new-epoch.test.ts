import { expect, test } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import { leaseKey } from '../../../src/subnet/lease.ts';
import { newEpoch } from '../../../src/subnet/new-epoch.ts';
import { decodeState, encodeState, isRetired } from '../../../src/subnet/state.ts';
import { transition } from '../../../src/subnet/state-machine.ts';
import { acquireCommand, bootstrapCommand, grant, joinCommand, node, profile, Replica } from './samples.ts';

function oldEpoch(): Replica {
  const cluster = new Replica();
  cluster.apply(bootstrapCommand());
  for (const n of [2, 3]) cluster.expect('joined', joinCommand(n));
  for (const n of [1, 2, 3]) cluster.expect('acquired', acquireCommand(n));
  return cluster;
}

const start = { epoch: 2, profile: profile(3), token: grant('t2') };

test('one member under a new replica id, and the ids of the others are retired', () => {
  const { state, member } = newEpoch(oldEpoch().state, start);
  expect([...state.members.values()]).toEqual([member]);
  expect(member).toMatchObject({ nodeId: node(3), replicaId: 4 });
  expect([1, 2, 3, 4, 5].map((id) => isRetired(state, toReplicaId(id)))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(state.epoch).toBe(2);
});

test('everything that was leased, reserved or configured stays', () => {
  const before = oldEpoch().state;
  const { state } = newEpoch(before, start);
  const { leases, reservations, released, config, configRevision, peers, time, index, clusterId } = before;
  expect(state).toMatchObject({
    leases,
    reservations,
    released,
    config,
    configRevision,
    peers,
    time,
    index,
    clusterId,
  });
  expect(state.leases.size).toBe(3);
});

test('the new token is the only one, and no answer of before is given again', () => {
  const before = oldEpoch().state;
  expect(before.answers).not.toEqual([]);
  const { state } = newEpoch(before, start);
  expect([...state.tokens.keys()]).toEqual(['t2']);
  expect(state.answers).toEqual([]);
});

test('it is a state like any other: its snapshot can be read', () => {
  const { state } = newEpoch(oldEpoch().state, start);
  expect(decodeState(encodeState(state))).toEqual(state);
});

test('a host of the old epoch that joins gets a new replica id and keeps its lease', () => {
  const { state } = newEpoch(oldEpoch().state, start);
  const held = [...state.leases.values()].find((lease) => lease.nodeId === node(1))?.subnet;
  const joined = transition(state, joinCommand(1, { tokenId: 't2' }), 100);
  expect(joined.result).toMatchObject({ kind: 'joined', epoch: 2, member: { replicaId: 5 } });
  const acquired = transition(joined.state, acquireCommand(1), 101);
  expect(acquired.result).toMatchObject({ kind: 'acquired', lease: { subnet: held } });
  expect(acquired.state?.leases.size).toBe(3);
});

test('a stranger gets a subnet that was never used', () => {
  const cluster = oldEpoch();
  const given = cluster.expect('acquired', acquireCommand(2, { requestId: 'again-2222' })).lease.subnet;
  const removal = { kind: 'member-remove', time: cluster.state.time, nodeId: node(2) } as const;
  cluster.expect('member-removed', { ...removal, keepsLease: false });
  const { state } = newEpoch(cluster.state, start);
  const joined = transition(state, joinCommand(9, { tokenId: 't2' }), 100);
  const { result } = transition(joined.state, acquireCommand(9), 101);
  expect(result).toMatchObject({ kind: 'acquired' });
  const used = [...cluster.state.leases.keys(), given].map(String);
  expect(result.kind === 'acquired' && !used.includes(leaseKey(result.lease))).toBe(true);
});
