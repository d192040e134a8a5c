import { describe, expect, it, vi } from 'vitest';
import { subnetRange } from '../../../src/config/network-config.ts';
import type { SubnetRange } from '../../../src/config/subnet-range.ts';
import { type Cidr, toCidr } from '../../../src/net/cidr.ts';
import type { Family } from '../../../src/net/ip.ts';
import {
  type Allocation,
  type AllocationRequest,
  allocate,
  type Holdings,
} from '../../../src/subnet/allocator.ts';
import { ABSENT_REUSE_MS } from '../../../src/subnet/cluster-time.ts';
import { type Lease, type LeaseState, leaseKey, toClusterTime } from '../../../src/subnet/lease.ts';

/** Many runs, and the machine may have other work. */
vi.setConfig({ testTimeout: 60_000 });

import { attributes, configOf, node } from './samples.ts';

function range(text: string, family: Family = 4): SubnetRange {
  const found = subnetRange(configOf(text), family);
  if (found === null) throw new Error('no range');
  return found;
}

/** Three subnets: 10.5.0.4, .8 and .12. */
const SMALL = range('{"Network":"10.5.0.0/28","SubnetLen":30}');
const WIDE = range('{"Network":"10.5.0.0/16"}');

function lease(n: number, subnet: string, state: LeaseState = 'active', expiresAt = 0): Lease {
  return {
    subnet: toCidr(subnet),
    ipv6Subnet: null,
    nodeId: node(n),
    attributes: attributes(n),
    state,
    expiresAt: toClusterTime(expiresAt),
  };
}

interface Given {
  readonly leases?: readonly Lease[];
  readonly reserved?: Readonly<Record<string, number>>;
  readonly released?: Readonly<Record<string, number>>;
}

function holdings({ leases = [], reserved = {}, released = {} }: Given): Holdings {
  return {
    leases: new Map(leases.map((one) => [leaseKey(one), one])),
    reservations: new Map(Object.entries(reserved).map(([subnet, n]) => [toCidr(subnet), node(n)])),
    released: new Map(
      Object.entries(released).map(([subnet, time]) => [toCidr(subnet), toClusterTime(time)]),
    ),
  };
}

function ask(given: Given, change: Partial<AllocationRequest> = {}): Allocation {
  const now = toClusterTime(0);
  return allocate(holdings(given), {
    range: SMALL,
    nodeId: node(1),
    wanted: null,
    previous: [],
    now,
    ...change,
  });
}

function subnetOf(allocation: Allocation): Cidr | string {
  if (allocation.kind === 'refused') return allocation.refusal.code;
  return allocation.subnet;
}

describe('order', () => {
  const previous = [toCidr('10.5.0.12/30')];
  const reserved = { '10.5.0.8/30': 1 };
  it('its own lease comes first', () => {
    const own = lease(1, '10.5.0.4/30', 'absent');
    expect(ask({ leases: [own], reserved }, { previous })).toEqual({ kind: 'kept', subnet: own.subnet });
  });
  it('then its reservation', () => {
    expect(subnetOf(ask({ reserved }, { previous }))).toBe('10.5.0.8/30');
  });
  it('then what it had before, in the order given', () => {
    const two = [toCidr('10.5.0.8/30'), toCidr('10.5.0.12/30')];
    expect(subnetOf(ask({}, { previous }))).toBe('10.5.0.12/30');
    expect(subnetOf(ask({ leases: [lease(2, '10.5.0.8/30')] }, { previous: two }))).toBe('10.5.0.12/30');
    expect(subnetOf(ask({ released: { '10.5.0.8/30': 5 } }, { previous: two }))).toBe('10.5.0.8/30');
  });
  it('then the lowest that was never used', () => {
    expect(subnetOf(ask({}))).toBe('10.5.0.4/30');
    expect(subnetOf(ask({ released: { '10.5.0.4/30': 5 } }))).toBe('10.5.0.8/30');
  });
  it('then the one released the longest ago', () => {
    const released = { '10.5.0.4/30': 7, '10.5.0.8/30': 5, '10.5.0.12/30': 6 };
    expect(subnetOf(ask({ released }))).toBe('10.5.0.8/30');
    expect(subnetOf(ask({ released, reserved: { '10.5.0.8/30': 2 } }))).toBe('10.5.0.12/30');
  });
  it('then a free one that only overlaps what was released', () => {
    expect(subnetOf(ask({ released: { '10.5.0.0/28': 1 } }))).toBe('10.5.0.4/30');
  });
  it('then the one absent the longest, after seven days', () => {
    const leases = [
      lease(2, '10.5.0.4/30'),
      lease(3, '10.5.0.8/30', 'absent', 20),
      lease(4, '10.5.0.12/30', 'absent', 10),
    ];
    const day7 = toClusterTime(ABSENT_REUSE_MS + 10);
    expect(subnetOf(ask({ leases }, { now: toClusterTime(ABSENT_REUSE_MS + 9) }))).toBe('no-free-subnet');
    expect(ask({ leases }, { now: day7 })).toEqual({
      kind: 'reused',
      subnet: '10.5.0.12/30',
      lease: leases[2],
    });
    const kept = { leases, reserved: { '10.5.0.12/30': 4 } };
    expect(subnetOf(ask(kept, { now: day7 }))).toBe('no-free-subnet');
  });
});

describe('conflicts', () => {
  it('are overlaps of any prefix length', () => {
    expect(subnetOf(ask({ leases: [lease(2, '10.5.0.4/31'), lease(3, '10.5.0.8/29')] }))).toBe(
      'no-free-subnet',
    );
    const wide = { range: WIDE, previous: [toCidr('10.5.7.0/24')] };
    expect(subnetOf(ask({ leases: [lease(2, '10.5.7.64/26')] }, wide))).toBe('10.5.1.0/24');
    expect(subnetOf(ask({ leases: [lease(2, '10.5.0.0/21'), lease(3, '10.5.9.0/30')] }, wide))).toBe(
      '10.5.8.0/24',
    );
    expect(subnetOf(ask({ leases: [lease(2, '10.0.0.0/8')] }, wide))).toBe('no-free-subnet');
  });
  it('do not count outside the range', () => {
    expect(subnetOf(ask({ leases: [lease(2, '10.4.0.0/16'), lease(3, 'fc00::/64')] }))).toBe('10.5.0.4/30');
  });
  it('make previous subnets of another length or place no hint at all', () => {
    const previous = ['10.5.0.0/30', '10.5.0.8/31', '10.9.0.4/30', 'fc00::/64'].map(toCidr);
    expect(subnetOf(ask({}, { previous }))).toBe('10.5.0.4/30');
  });
});

describe('own lease', () => {
  it('that does not fit any more is replaced', () => {
    expect(ask({ leases: [lease(1, '10.9.0.0/24')] })).toEqual({ kind: 'free', subnet: '10.5.0.4/30' });
  });
  it('that drains comes back when it fits again', () => {
    const old = lease(1, '10.5.0.8/30', 'draining');
    expect(ask({ leases: [old, lease(1, '10.9.0.0/24')] })).toEqual({ kind: 'kept', subnet: old.subnet });
    const active = lease(1, '10.5.0.12/30');
    expect(ask({ leases: [old, active] })).toEqual({ kind: 'kept', subnet: active.subnet });
  });
});

describe('--subnet', () => {
  const wanted = toCidr('10.5.0.8/30');
  it('gets that one or a refusal that names the holder', () => {
    expect(subnetOf(ask({}, { wanted }))).toBe(wanted);
    expect(subnetOf(ask({ reserved: { [wanted]: 1 } }, { wanted }))).toBe(wanted);
    expect(subnetOf(ask({ leases: [lease(1, wanted)] }, { wanted }))).toBe(wanted);
    expect(subnetOf(ask({ reserved: { [wanted]: 2 } }, { wanted }))).toBe('subnet-reserved');
    expect(subnetOf(ask({ leases: [lease(1, '10.5.0.4/30')] }, { wanted }))).toBe('lease-held');
    expect(subnetOf(ask({}, { wanted: toCidr('10.5.0.0/30') }))).toBe('subnet-out-of-range');
    expect(subnetOf(ask({}, { wanted: toCidr('10.5.0.8/31') }))).toBe('subnet-out-of-range');
    const taken = ask({ leases: [lease(2, '10.5.0.10/31', 'absent', 0)] }, { wanted });
    expect(taken).toMatchObject({ kind: 'refused', refusal: { code: 'lease-taken', exitCode: 7 } });
    expect(taken).toMatchObject({ refusal: { text: expect.stringContaining(node(2)) } });
  });
});

it('says how full a full network is, and what to do', () => {
  const leases = [lease(2, '10.5.0.4/30'), lease(3, '10.5.0.8/30', 'absent')];
  expect(ask({ leases, reserved: { '10.5.0.12/30': 4, '10.5.0.4/30': 2 } })).toMatchObject({
    kind: 'refused',
    refusal: {
      code: 'no-free-subnet',
      exitCode: 1,
      text: 'No subnet is free in 10.5.0.0/28: of 3 subnets 1 are in use, 1 reserved and 1 held by absent hosts.',
      fix: expect.stringContaining('tsflannel leave'),
    },
  });
});

it('fills a network to the last subnet, each once', () => {
  const leases: Lease[] = [];
  for (let n = 1; n <= 255; n++) {
    const allocation = ask({ leases }, { range: WIDE, nodeId: node(n) });
    leases.push(lease(n, subnetOf(allocation)));
  }
  expect(new Set(leases.map((one) => one.subnet)).size).toBe(255);
  expect(leases.at(-1)?.subnet).toBe('10.5.255.0/24');
  expect(subnetOf(ask({ leases }, { range: WIDE, nodeId: node(256) }))).toBe('no-free-subnet');
});
