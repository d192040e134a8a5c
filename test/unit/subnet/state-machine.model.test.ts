/** What must hold after every command, whatever the commands are: the promises about leases, and determinism. */
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import type { Cidr } from '../../../src/net/cidr.ts';
import type { Command } from '../../../src/subnet/command.ts';
import { decodeCommand, encodeCommand, UnknownCommandError } from '../../../src/subnet/command.ts';
import { type CommandResult, decodeResult, encodeResult } from '../../../src/subnet/command-result.ts';
import { type Lease, leaseKey, subnetsOf } from '../../../src/subnet/lease.ts';
import { type ClusterState, decodeState } from '../../../src/subnet/state.ts';
import { SubnetStateMachine } from '../../../src/subnet/state-machine.ts';
import { command, run } from './arbitraries.ts';
import { bootstrapCommand, bytesOf, DAY_MS, entry, grant, joinCommand, Replica } from './samples.ts';

/** They take seconds, and the machine may have other work. */
vi.setConfig({ testTimeout: 120_000 });

function begin(config = bootstrapCommand().config): Replica {
  const replica = new Replica();
  replica.expect('joined', bootstrapCommand({ config, token: grant('t1', { ttlMs: 100 * DAY_MS }) }));
  for (let n = 2; n <= 5; n++) replica.expect('joined', joinCommand(n));
  return replica;
}

/** Family, first and last address as numbers; written apart from the program's own arithmetic on purpose. */
function bounds(cidr: string): readonly [family: number, first: bigint, last: bigint] {
  const [base = '', length = ''] = cidr.split('/');
  if (base.includes('.')) {
    const first = base.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
    return [4, first, first + (1n << BigInt(32 - Number(length))) - 1n];
  }
  const [head = '', tail = ''] = base.split('::').map((part) => part.split(':').filter(Boolean));
  const zeros = Array(8 - head.length - tail.length).fill('0');
  const first = [...head, ...zeros, ...tail].reduce((sum, part) => (sum << 16n) + BigInt(`0x${part}`), 0n);
  return [6, first, first + (1n << BigInt(128 - Number(length))) - 1n];
}

function overlap(a: string, b: string): boolean {
  const [familyA, firstA, lastA] = bounds(a);
  const [familyB, firstB, lastB] = bounds(b);
  return familyA === familyB && firstA <= lastB && firstB <= lastA;
}

/** Who holds each subnet, of either family. */
function holders({ leases }: ClusterState): ReadonlyMap<Cidr, Lease> {
  return new Map([...leases.values()].flatMap((lease) => subnetsOf(lease).map((subnet) => [subnet, lease])));
}

/** Plainer and faster than expect, which is called some thousand times a run here. */
function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

function checkState(state: ClusterState): void {
  const subnets = [...state.leases.values()].flatMap(subnetsOf);
  for (const [i, a] of subnets.entries()) {
    for (const b of subnets.slice(i + 1)) must(!overlap(a, b), `leases ${a} and ${b} overlap`);
    for (const b of state.released.keys()) must(!overlap(a, b), `lease ${a} and released ${b} overlap`);
  }
  const reserved = [...state.reservations.keys()];
  for (const [i, a] of reserved.entries())
    for (const b of reserved.slice(i + 1)) must(!overlap(a, b), `reservations ${a} and ${b} overlap`);
  const standing = [...state.leases.values()].filter((lease) => lease.state !== 'draining');
  must(new Set(standing.map((lease) => lease.nodeId)).size === standing.length, 'two leases of one node');
  for (const [subnet, lease] of state.leases) {
    must((lease.subnet ?? lease.ipv6Subnet) === subnet, `${lease.subnet} stands under ${subnet}`);
    must(
      state.members.has(lease.nodeId) || lease.state !== 'active',
      `${subnet} is active and belongs to no member`,
    );
  }
  const members = [...state.members.values()];
  for (const key of ['name', 'address', 'replicaId', 'nodeId'] as const)
    must(new Set(members.map((one) => one[key])).size === members.length, `two members with one ${key}`);
  for (const one of members) must(one.replicaId < state.nextReplicaId, `${one.replicaId} was not minted`);
}

/** A lease changes hands only by a command that says so. */
function checkMoves(before: ClusterState, after: ClusterState, cause: Command, result: CommandResult): void {
  const now = holders(after);
  const then = holders(before);
  for (const [subnet, old] of then) {
    if (now.get(subnet)?.nodeId === old.nodeId) continue;
    const given =
      (cause.kind === 'release' && cause.nodeId === old.nodeId && cause.subnet === leaseKey(old)) ||
      (cause.kind === 'member-remove' && cause.nodeId === old.nodeId && !cause.keepsLease);
    const abandoned = !before.members.has(old.nodeId) && isAbandonedBy(cause, old, after);
    // The other family of a lease that is given to somebody else goes with it.
    const reused =
      result.kind === 'acquired' &&
      result.reusedFrom !== null &&
      subnetsOf(old).some((one) => now.get(one)?.nodeId === result.lease.nodeId) &&
      old.state === 'absent' &&
      old.expiresAt + 7 * DAY_MS <= after.time;
    must(given || reused || abandoned, `${subnet} left ${old.nodeId} by ${cause.kind}`);
  }
  for (const [subnet, lease] of now)
    if (!then.has(subnet))
      must(cause.kind === 'acquire' && cause.nodeId === lease.nodeId, `${subnet} appeared by ${cause.kind}`);
  for (const id of before.members.keys())
    must(cause.kind === 'member-remove' || after.members.has(id), `${id} vanished by ${cause.kind}`);
}

/** The lease of a removed host goes when another host has its address. */
function isAbandonedBy(cause: Command, old: Lease, { leases }: ClusterState): boolean {
  if (cause.kind !== 'acquire' && cause.kind !== 'update-attributes') return false;
  const { publicIp, publicIpv6 } = old.attributes;
  return [...leases.values()].some(
    ({ nodeId, attributes }) =>
      nodeId === cause.nodeId &&
      ((publicIp !== null && attributes.publicIp === publicIp) ||
        (publicIpv6 !== null && attributes.publicIpv6 === publicIpv6)),
  );
}

/** The kind of result, and the two rare things that the rules about leases are for. */
function happened(after: ClusterState, result: CommandResult): readonly string[] {
  const drains = [...after.leases.values()].some((lease) => lease.state === 'draining');
  const reuses = result.kind === 'acquired' && result.reusedFrom !== null;
  return [result.kind, ...(drains ? ['+draining'] : []), ...(reuses ? ['+reused'] : [])];
}

/** What a command meets when it walks the maps; toEqual does not look at the order. */
function orders({ members, tokens, leases, reservations, released }: ClusterState): readonly string[][] {
  return [members, tokens, leases, reservations, released].map((map) => [...map.keys()]);
}

function unnumbered(state: ClusterState): ClusterState {
  return { ...state, index: 0 };
}

it('keeps its promises through any run of commands', () => {
  const kinds = new Map<string, number>();
  fc.assert(
    fc.property(run, ({ config, steps }) => {
      const replica = begin(config);
      for (const step of steps) {
        const before = replica.state;
        const one = step(before);
        const result = replica.apply(one);
        const after = replica.state;
        for (const kind of happened(after, result)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        checkState(after);
        checkMoves(before, after, one, result);
        must(after.time === Math.max(before.time, one.time), 'time went its own way');
        if (result.kind === 'refused') {
          expect(unnumbered(after)).toEqual(unnumbered({ ...before, time: after.time }));
          must(/^[A-Z].*\.$/.test(result.refusal.text), `no sentence: ${result.refusal.text}`);
        }
        expect(decodeResult(encodeResult(result))).toEqual(result);
      }
    }),
    { numRuns: 300 },
  );
  // Every kind of result was met, or the run above proves little.
  expect([...kinds.keys()].sort()).toEqual([
    '+draining',
    '+reused',
    'acquired',
    'attributes-updated',
    'config-set',
    'joined',
    'marked-absent',
    'member-removed',
    'member-updated',
    'refused',
    'released',
    'renewed',
    'reserved',
    'token-created',
    'token-revoked',
    'unreserved',
  ]);
});

it('gives a repeated request the same answer and changes nothing', () => {
  fc.assert(
    fc.property(run, ({ config, steps }) => {
      const replica = begin(config);
      for (const step of steps) {
        const one = step(replica.state);
        const first = replica.apply(one);
        if (first.kind !== 'joined' && first.kind !== 'acquired') continue;
        const { state } = replica;
        const again = replica.apply(one);
        expect({ ...again, reusedFrom: null }).toEqual({ ...first, reusedFrom: null });
        expect(unnumbered(replica.state)).toEqual(unnumbered(state));
      }
    }),
    { numRuns: 100 },
  );
});

it('is the same on a replica that started from a snapshot', () => {
  fc.assert(
    fc.property(run, fc.nat({ max: 60 }), ({ config, steps }, cut) => {
      const one = begin(config);
      for (const step of steps.slice(0, cut)) one.apply(step(one.state));
      const two = one.fromSnapshot();
      expect(bytesOf(two.machine)).toEqual(bytesOf(one.machine));
      for (const step of steps.slice(cut)) {
        const cause = step(one.state);
        expect(two.apply(cause)).toEqual(one.apply(cause));
      }
      expect(bytesOf(two.machine)).toEqual(bytesOf(one.machine));
      expect(two.state).toEqual(one.state);
      expect(orders(two.state)).toEqual(orders(one.state));
    }),
    { numRuns: 150 },
  );
});

it('restores only what it wrote, and keeps its state otherwise', () => {
  const replica = begin();
  const bytes = bytesOf(replica.machine);
  const text = new TextDecoder().decode(bytes);
  const encode = (changed: string) => new TextEncoder().encode(changed);
  for (const bad of [
    '',
    '{}',
    text.slice(1),
    ` ${text}`,
    text.replace('"epoch":1', '"epoch":0'),
    text.replace('"formatVersion":1', '"formatVersion":2'),
    text.replace('"featureLevel":1', '"featureLevel":3'),
    text.replace('"leases":[]', '"leases":{}'),
    text.replace('"answers"', '"answerz"'),
    text.replace('"epoch":1', '"epoch":1.0'),
  ])
    expect(() => replica.machine.restore(encode(bad)), bad.slice(0, 40)).toThrow();
  expect(bytesOf(replica.machine)).toEqual(bytes);
  const empty = new SubnetStateMachine();
  expect(decodeState(bytesOf(empty))).toBeNull();
  replica.machine.restore(bytesOf(empty));
  expect(replica.machine.state).toBeNull();
});

it('throws UnknownCommandError and nothing else, whatever the payload', () => {
  const replica = begin();
  const before = replica.state;
  const damaged = command.chain((one) => {
    const text = new TextDecoder().decode(encodeCommand(one));
    return fc
      .tuple(fc.nat({ max: text.length }), fc.nat({ max: 5 }), fc.string({ maxLength: 5 }))
      .map(([from, length, insert]) =>
        new TextEncoder().encode(text.slice(0, from) + insert + text.slice(from + length)),
      );
  });
  const json = fc.jsonValue().map((value) => new TextEncoder().encode(JSON.stringify(value)));
  const deep = new TextEncoder().encode(
    `{"version":1,"kind":"set-config","time":1,"expectedRevision":1,"moveLeases":true,"config":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
  );
  const check = (payload: Uint8Array) => {
    const machine = new SubnetStateMachine();
    machine.restore(bytesOf(replica.machine));
    try {
      machine.apply(entry(payload, 9));
    } catch (error) {
      expect(error).toBeInstanceOf(UnknownCommandError);
      expect(machine.state).toEqual(before);
    }
  };
  fc.assert(fc.property(fc.oneof(fc.uint8Array(), json, damaged), check), { numRuns: 2_000 });
  expect(() => decodeCommand(deep)).toThrow(UnknownCommandError);
});
