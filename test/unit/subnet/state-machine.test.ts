import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { type Lease, leaseKey, toClusterTime } from '../../../src/subnet/lease.ts';
import { view } from '../../../src/subnet/lease-view.ts';
import { encodeState, isRetired, memberByReplica } from '../../../src/subnet/state.ts';
import { secretMatches } from '../../../src/subnet/token.ts';
import {
  acquireCommand,
  attributes,
  bootstrapCommand,
  cluster,
  configOf,
  DAY_MS,
  grant,
  HOUR_MS,
  joinCommand,
  node,
  profile,
  Replica,
} from './samples.ts';

const at = toClusterTime;

function leases(replica: Replica): readonly Lease[] {
  return [...replica.state.leases.values()];
}

describe('bootstrap', () => {
  it('makes the first host replica 1', () => {
    const replica = new Replica();
    const result = replica.expect('joined', bootstrapCommand({ time: at(5), peers: [toIp('192.0.2.2')] }));
    expect(result).toMatchObject({
      clusterId: 'c1',
      epoch: 1,
      member: { ...profile(1), replicaId: 1, joinedAt: 5 },
    });
    expect(replica.state).toMatchObject({
      nextReplicaId: 2,
      configRevision: 1,
      index: 1,
      time: 5,
      featureLevel: 1,
    });
    expect(replica.state.tokens.get('t1')).toMatchObject({ uses: 0, expiresAt: 5 + DAY_MS, revoked: false });
  });
  it('repeated gives the same answer, another one is a conflict', () => {
    const replica = cluster(1);
    expect(replica.expect('joined', bootstrapCommand()).member.replicaId).toBe(1);
    expect(replica.refused(bootstrapCommand({ clusterId: 'c2' }))).toBe('already-initialised');
    expect(replica.refused(bootstrapCommand({ member: profile(2) }))).toBe('already-initialised');
  });
  it('refuses a node id that is not the key of the host', () => {
    const replica = new Replica();
    expect(replica.refused(bootstrapCommand({ member: { ...profile(1), nodeId: node(2) } }))).toBe(
      'wrong-identity',
    );
    expect(replica.machine.state).toBeNull();
  });
  it('must come first', () => {
    expect(new Replica().refused(joinCommand(2))).toBe('not-initialised');
  });
});

describe('join', () => {
  it('mints a replica id and counts the token', () => {
    const replica = cluster(1);
    expect(replica.expect('joined', joinCommand(2, { time: at(7) })).member).toEqual({
      ...profile(2),
      replicaId: 2,
      joinedAt: 7,
    });
    expect(replica.state.tokens.get('t1')?.uses).toBe(1);
    expect(memberByReplica(replica.state, toReplicaId(2))?.name).toBe('host-2');
  });
  it('repeated gives the same answer and counts nothing', () => {
    const replica = cluster(2);
    const before = replica.state;
    expect(replica.expect('joined', joinCommand(2)).member.replicaId).toBe(2);
    expect({ ...replica.state, index: 0 }).toEqual({ ...before, index: 0 });
  });
  it('again with a new request is a new incarnation; the old one is retired', () => {
    const replica = cluster(2);
    const again = joinCommand(2, { requestId: 'join-again', address: toIp('192.0.2.99') });
    expect(replica.expect('joined', again).member).toMatchObject({ replicaId: 3, address: '192.0.2.99' });
    expect(replica.state.members.size).toBe(2);
    expect([1, 2, 3, 4].map((id) => isRetired(replica.state, toReplicaId(id)))).toEqual([
      false,
      true,
      false,
      false,
    ]);
    expect(replica.refused(joinCommand(2)), 'the first request comes late').toBe('request-superseded');
  });
  it('refuses tokens that do not admit', () => {
    const replica = cluster(1);
    replica.expect('token-created', {
      kind: 'token-create',
      time: at(0),
      token: grant('once', { usesMax: 1 }),
    });
    replica.expect('token-created', {
      kind: 'token-create',
      time: at(0),
      token: grant('short', { ttlMs: 1_000 }),
    });
    replica.expect('token-created', { kind: 'token-create', time: at(0), token: grant('bad') });
    replica.expect('token-revoked', { kind: 'token-revoke', time: at(0), tokenId: 'bad' });
    replica.expect('joined', joinCommand(2, { tokenId: 'once' }));
    expect(replica.refused(joinCommand(3, { tokenId: 'once' }))).toBe('token-used-up');
    expect(replica.refused(joinCommand(3, { tokenId: 'bad' }))).toBe('token-revoked');
    expect(replica.refused(joinCommand(3, { tokenId: 'none' }))).toBe('token-unknown');
    expect(
      replica.expect('joined', joinCommand(3, { tokenId: 'short', time: at(999) })).member.replicaId,
    ).toBe(3);
    expect(replica.refused(joinCommand(4, { tokenId: 'short', time: at(1_000) }))).toBe('token-expired');
    expect(replica.expect('refused', joinCommand(5, { tokenId: 'none' })).refusal.exitCode).toBe(6);
  });
  it('never goes back in time, so an expired token stays expired', () => {
    const replica = cluster(1);
    expect(replica.refused(joinCommand(2, { time: at(DAY_MS) }))).toBe('token-expired');
    expect(replica.refused(joinCommand(2, { time: at(1) }))).toBe('token-expired');
    expect(replica.state.time).toBe(DAY_MS);
  });
  it('refuses a name or an address of another member, and a foreign node id', () => {
    const replica = cluster(2);
    expect(replica.refused(joinCommand(3, { name: 'host-2' }))).toBe('name-taken');
    expect(replica.refused(joinCommand(3, { address: toIp('192.0.2.2') }))).toBe('address-taken');
    expect(replica.expect('refused', joinCommand(3, { name: 'host-2' })).refusal.exitCode).toBe(7);
    const thief = joinCommand(3, { nodeId: node(2) });
    expect(replica.expect('refused', thief).refusal).toMatchObject({ code: 'wrong-identity', exitCode: 6 });
    expect(replica.state.nextReplicaId).toBe(3);
  });
  it('lets the role of the token cap the wish', () => {
    const replica = cluster(1);
    replica.expect('token-created', {
      kind: 'token-create',
      time: at(0),
      token: grant('v', { role: 'voter' }),
    });
    const wish = (n: number, tokenId: string, wantsVoter: boolean) =>
      replica.expect('joined', joinCommand(n, { tokenId, wantsVoter })).member.wantsVoter;
    expect([wish(2, 't1', true), wish(3, 't1', false), wish(4, 'v', true)]).toEqual([null, false, true]);
  });
});

describe('members and tokens', () => {
  it('updates name and address, unless another member has them', () => {
    const replica = cluster(2);
    const update = { kind: 'member-update', time: at(0), nodeId: node(2), name: 'b', port: 7 } as const;
    expect(replica.expect('member-updated', { ...update, address: toIp('192.0.2.9') }).member).toMatchObject({
      name: 'b',
      address: '192.0.2.9',
      port: 7,
      replicaId: 2,
    });
    expect(replica.refused({ ...update, address: toIp('192.0.2.1') })).toBe('address-taken');
    expect(replica.refused({ ...update, nodeId: node(9), address: toIp('192.0.2.9') })).toBe('not-a-member');
  });
  it('removes a member with its lease, but not the last one', () => {
    const replica = cluster(2);
    const { lease } = replica.expect('acquired', acquireCommand(2));
    const remove = (n: number) =>
      ({ kind: 'member-remove', time: at(9), nodeId: node(n), keepsLease: false }) as const;
    expect(replica.expect('member-removed', remove(2))).toMatchObject({ released: [leaseKey(lease)] });
    expect(replica.state.leases.size).toBe(0);
    expect(replica.state.released.get(leaseKey(lease))).toBe(9);
    expect(isRetired(replica.state, toReplicaId(2))).toBe(true);
    expect(replica.refused(remove(2))).toBe('not-a-member');
    expect(replica.refused(remove(1))).toBe('last-member');
    expect(replica.refused(acquireCommand(2, { requestId: 'acquire-later' }))).toBe('not-a-member');
  });
  it('may keep the lease of a removed member, absent', () => {
    const replica = cluster(2);
    const { lease } = replica.expect('acquired', acquireCommand(2, { time: at(5) }));
    const removal = { kind: 'member-remove', time: at(9), nodeId: node(2), keepsLease: true } as const;
    expect(replica.expect('member-removed', removal)).toMatchObject({ released: [] });
    expect(replica.state.leases.get(leaseKey(lease))).toEqual({ ...lease, state: 'absent' });
    const renewal = { kind: 'renew', time: at(10), nodeId: node(2), subnet: leaseKey(lease) } as const;
    expect(replica.refused(renewal)).toBe('not-a-member');
  });
  it('gives that lease to its host when it joins again, and to nobody else while there is another', () => {
    const replica = cluster(2);
    const { lease } = replica.expect('acquired', acquireCommand(2));
    replica.apply({ kind: 'member-remove', time: at(9), nodeId: node(2), keepsLease: true });
    replica.expect('joined', joinCommand(3, { requestId: 'join-3-again' }));
    const other = replica.expect('acquired', acquireCommand(3, { previous: [leaseKey(lease)] }));
    expect(other.lease.subnet).not.toBe(leaseKey(lease));
    replica.expect('joined', joinCommand(2, { requestId: 'join-2-again' }));
    const again = replica.expect('acquired', acquireCommand(2, { requestId: 'acquire-2-again' }));
    expect(again.lease).toMatchObject({ subnet: leaseKey(lease), state: 'active' });
  });
  it('gives that lease back when another host has its address', () => {
    const replica = cluster(2);
    const { lease } = replica.expect('acquired', acquireCommand(2));
    replica.apply({ kind: 'member-remove', time: at(9), nodeId: node(2), keepsLease: true });
    replica.expect('joined', joinCommand(3, { requestId: 'join-3-again' }));
    replica.expect('acquired', acquireCommand(3, { attributes: attributes(2) }));
    expect(replica.state.leases.has(leaseKey(lease))).toBe(false);
    expect(replica.state.released.has(leaseKey(lease))).toBe(true);
  });
  it('brings a member back as a new replica, once a request, and only from the replica that it is', () => {
    const replica = cluster(2);
    const { lease } = replica.expect('acquired', acquireCommand(2));
    const back = (retired: number, requestId: string) =>
      ({
        kind: 'rejoin',
        time: at(7),
        requestId,
        nodeId: node(2),
        retired: toReplicaId(retired),
      }) as const;
    const before = replica.state.members.get(node(2));
    const { member } = replica.expect('joined', back(2, 'rejoin-once'));
    expect(member).toEqual({ ...before, replicaId: 3, joinedAt: 7 });
    expect(replica.state.leases.get(leaseKey(lease))).toEqual(lease);
    expect(isRetired(replica.state, toReplicaId(2))).toBe(true);
    expect(replica.expect('joined', back(2, 'rejoin-once')).member, 'the answer was lost').toEqual(member);
    expect(replica.refused(back(2, 'rejoin-copy')), 'a copy of the old directory').toBe('replaced-since');
    expect(replica.expect('joined', back(3, 'rejoin-twice')).member.replicaId).toBe(4);
    expect(replica.refused(back(2, 'rejoin-once')), 'too late').toBe('replaced-since');
    expect(replica.refused({ ...back(2, 'rejoin-once'), nodeId: node(9) })).toBe('not-a-member');
    const reused = back(4, 'rejoin-once');
    expect(replica.expect('joined', reused)).toEqual(replica.expect('joined', reused));
  });
  it('notes who is to vote', () => {
    const replica = cluster(2);
    const role = (wantsVoter: boolean) =>
      ({ kind: 'member-role', time: at(3), nodeId: node(2), wantsVoter }) as const;
    expect(replica.expect('member-updated', role(true)).member.wantsVoter).toBe(true);
    expect(replica.expect('member-updated', role(false)).member.wantsVoter).toBe(false);
    expect(replica.refused({ ...role(true), nodeId: node(9) })).toBe('not-a-member');
  });
  it('takes its snapshot in pieces, of the state as it was', () => {
    const replica = cluster(200);
    const { machine, state } = replica;
    const pieces = machine.snapshot()[Symbol.iterator]();
    const first: Uint8Array = pieces.next().value;
    replica.expect('acquired', acquireCommand(2));
    const rest = [...{ [Symbol.iterator]: () => pieces }];
    expect(rest.length).toBeGreaterThan(2);
    for (const piece of [first, ...rest]) expect(piece.length).toBeLessThan(20_000);
    expect(Buffer.concat([first, ...rest])).toEqual(Buffer.from(encodeState(state)));
  });
  it('creates a token once', () => {
    const replica = cluster(1);
    const create = { kind: 'token-create', time: at(3), token: grant('x', { ttlMs: 10 }) } as const;
    const { token } = replica.expect('token-created', create);
    expect(token).toMatchObject({ createdAt: 3, expiresAt: 13, uses: 0 });
    expect(secretMatches(token, 'secret of x')).toBe(true);
    expect(secretMatches(token, 'guess')).toBe(false);
    expect(replica.expect('token-created', { ...create, time: at(5) }).token).toEqual(token);
    const other = { ...create, token: grant('x', { secretHash: '0'.repeat(64) }) };
    expect(replica.refused(other)).toBe('token-exists');
    expect(replica.refused({ kind: 'token-revoke', time: at(3), tokenId: 'y' })).toBe('no-such-token');
  });
  it('keeps a bounded number, forgetting the useless ones first', () => {
    const replica = cluster(1);
    for (let i = 1; i < 256; i++)
      replica.expect('token-created', {
        kind: 'token-create',
        time: at(0),
        token: grant(`k${i}`, { ttlMs: HOUR_MS }),
      });
    const create = (time: number) =>
      ({ kind: 'token-create', time: at(time), token: grant('more') }) as const;
    expect(replica.refused(create(0))).toBe('too-many-tokens');
    replica.expect('token-created', create(HOUR_MS));
    expect([...replica.state.tokens.keys()].sort()).toEqual(['more', 't1']);
  });
});

describe('leases', () => {
  it('gives a lease for 24 h, and the same one to a repeated request', () => {
    const replica = cluster(2);
    const { lease, reusedFrom } = replica.expect('acquired', acquireCommand(2, { time: at(10) }));
    expect(lease).toEqual({
      subnet: '10.5.1.0/24',
      ipv6Subnet: null,
      nodeId: node(2),
      attributes: attributes(2),
      state: 'active',
      expiresAt: 10 + DAY_MS,
    });
    expect(reusedFrom).toBeNull();
    expect(replica.expect('acquired', acquireCommand(2, { time: at(500) })).lease).toEqual(lease);
    const anew = acquireCommand(2, { time: at(500), requestId: 'acquire-anew' });
    expect(replica.expect('acquired', anew).lease).toEqual({ ...lease, expiresAt: 500 + DAY_MS });
  });
  it('does not give back to a late duplicate what was released since', () => {
    const replica = cluster(2);
    const { lease } = replica.expect('acquired', acquireCommand(2));
    const release = { kind: 'release', time: at(1), nodeId: node(2), subnet: leaseKey(lease) } as const;
    replica.expect('released', release);
    replica.expect('released', release);
    expect(replica.refused(acquireCommand(2))).toBe('request-superseded');
    replica.expect('acquired', acquireCommand(1, { time: at(HOUR_MS) }));
    const later = acquireCommand(2, { time: at(HOUR_MS) });
    expect(replica.expect('acquired', later).lease.subnet, 'forgotten in the end').toBe('10.5.3.0/24');
  });
  it('refuses two hosts behind one public address', () => {
    const replica = cluster(3);
    replica.expect('acquired', acquireCommand(2));
    expect(replica.refused(acquireCommand(3, { attributes: attributes(2) }))).toBe('address-taken');
    replica.expect('acquired', acquireCommand(3));
    const update = { kind: 'update-attributes', time: at(0), nodeId: node(3) } as const;
    expect(replica.refused({ ...update, attributes: attributes(2) })).toBe('address-taken');
    expect(
      replica.expect('attributes-updated', { ...update, attributes: attributes(9) }).lease,
    ).toMatchObject({
      subnet: '10.5.2.0/24',
      attributes: attributes(9),
    });
    expect(replica.refused({ ...update, nodeId: node(1), attributes: attributes(1) })).toBe('no-lease');
  });
  it('marks absent only what has expired, and renewing brings it back', () => {
    const replica = cluster(3);
    const first = leaseKey(replica.expect('acquired', acquireCommand(2)).lease);
    const second = leaseKey(replica.expect('acquired', acquireCommand(3)).lease);
    replica.expect('renewed', { kind: 'renew', time: at(HOUR_MS), nodeId: node(3), subnet: second });
    const subnets = [first, second, toCidr('10.5.77.0/24')];
    expect(
      replica.expect('marked-absent', { kind: 'mark-absent', time: at(DAY_MS - 1), subnets }).subnets,
    ).toEqual([]);
    expect(
      replica.expect('marked-absent', { kind: 'mark-absent', time: at(DAY_MS), subnets }).subnets,
    ).toEqual([first]);
    expect(replica.state.leases.get(first)?.state, 'still owned').toBe('absent');
    expect(replica.expect('acquired', acquireCommand(2, { requestId: 'back-again' })).lease).toMatchObject({
      subnet: first,
      state: 'active',
    });
    expect(replica.refused({ kind: 'renew', time: at(0), nodeId: node(2), subnet: second })).toBe(
      'lease-not-held',
    );
    expect(replica.refused({ kind: 'release', time: at(0), nodeId: node(2), subnet: second })).toBe(
      'lease-not-held',
    );
  });
  it('reserves a subnet for a host, also before it joins', () => {
    const replica = cluster(2);
    const subnet = toCidr('10.5.1.0/24');
    replica.expect('reserved', { kind: 'reserve', time: at(0), subnet, nodeId: node(3) });
    replica.expect('reserved', { kind: 'reserve', time: at(0), subnet, nodeId: node(3) });
    expect(replica.refused({ kind: 'reserve', time: at(0), subnet, nodeId: node(2) })).toBe(
      'subnet-reserved',
    );
    expect(replica.expect('acquired', acquireCommand(2, { previous: [subnet] })).lease.subnet).toBe(
      '10.5.2.0/24',
    );
    replica.expect('joined', joinCommand(3));
    expect(leaseKey(replica.expect('acquired', acquireCommand(3)).lease)).toBe(subnet);
    const taken = { kind: 'reserve', time: at(0), subnet: toCidr('10.5.2.0/24'), nodeId: node(3) } as const;
    expect(replica.refused(taken)).toBe('lease-taken');
    expect(replica.refused({ ...taken, subnet: toCidr('10.5.2.0/25') })).toBe('subnet-out-of-range');
    replica.expect('unreserved', { kind: 'unreserve', time: at(0), subnet });
    expect(replica.state.reservations.size).toBe(0);
  });
});

describe('set-config', () => {
  const other = configOf('{"Network":"10.6.0.0/16"}');
  const set = (expectedRevision: number, moveLeases = false, config = other) =>
    ({ kind: 'set-config', time: at(0), expectedRevision, config, moveLeases }) as const;

  it('counts revisions and refuses a change made from an old one', () => {
    const replica = cluster(1);
    expect(replica.refused(set(2))).toBe('config-changed');
    expect(replica.expect('config-set', set(1)).revision).toBe(2);
    expect(replica.expect('config-set', set(1)).revision, 'repeated').toBe(2);
    const dual = configOf('{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fc00::/48"}');
    expect(replica.refused(set(2, false, dual))).toBe('feature-level');
  });
  it('moves leases only when told, and the old one drains until its host releases it', () => {
    const replica = cluster(3);
    const old = replica.expect('acquired', acquireCommand(2)).lease;
    const { refusal } = replica.expect('refused', set(1));
    expect(refusal).toMatchObject({ code: 'config-moves-leases', exitCode: 9 });
    expect(refusal.text).toContain('1 hosts: host-2');
    replica.expect('config-set', set(1, true));
    expect(leases(replica), 'nothing moves by itself').toEqual([old]);
    const moved = replica.expect('acquired', acquireCommand(2, { requestId: 'after-config' })).lease;
    expect(moved.subnet).toBe('10.6.1.0/24');
    expect(leases(replica)).toEqual([{ ...old, state: 'draining' }, moved]);
    expect(view(replica.state, node(2))).toMatchObject({ own: moved, peers: [] });
    expect(view(replica.state, node(3)).peers.map((lease) => lease.state)).toEqual(['draining', 'active']);
    replica.expect('renewed', { kind: 'renew', time: at(1), nodeId: node(2), subnet: leaseKey(old) });
    expect(replica.state.leases.get(leaseKey(old))?.state).toBe('draining');
    replica.expect('released', { kind: 'release', time: at(2), nodeId: node(2), subnet: leaseKey(old) });
    expect(leases(replica)).toEqual([moved]);
  });
});

it('shows one host the whole of what its data plane needs', () => {
  const replica = cluster(3);
  replica.expect(
    'acquired',
    acquireCommand(3, { attributes: { ...attributes(3), publicIp: toIp('198.51.100.3') } }),
  );
  const { lease } = replica.expect('acquired', acquireCommand(1));
  expect(view(replica.state, node(1))).toEqual({
    index: 5,
    config: replica.state.config,
    own: lease,
    peers: [replica.state.leases.get(toCidr('10.5.1.0/24'))],
    memberIps: ['192.0.2.1', '192.0.2.2', '192.0.2.3', '198.51.100.3'],
  });
  expect(view(replica.state, node(2)).own).toBeNull();
});
