import { describe, expect, test } from 'vitest';
import type { Route } from '../../../src/dataplane/desired-state.ts';
import type { ActualRoute } from '../../../src/dataplane/kernel.ts';
import { Rivals } from '../../../src/dataplane/rivals.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';

function ours(dst: string): Route {
  return {
    ...{ table: 254, dst: toCidr(dst), type: 'unicast', via: toIp('10.99.1.12'), iface: 'eth0' },
    ...{ onlink: false, src: null, mtu: null, metric: 6473 },
  };
}

function used(dst: string, is: Partial<ActualRoute> = {}): ActualRoute {
  return { ...ours(dst), protocol: 4, metric: 100, plain: true, ...is };
}

const A = toCidr('10.5.2.0/24');
const B = toCidr('10.5.3.0/24');

function asked(): Rivals {
  const rivals = new Rivals();
  rivals.setDesired([
    ours(A),
    ours(B),
    { ...ours('10.5.0.0/16'), type: 'unreachable', via: null, iface: null },
  ]);
  expect(rivals.take(10)).toEqual([A, B]);
  return rivals;
}

describe('who is used in place of ours', () => {
  test.each([
    ['ours', used(A, { protocol: 139, metric: 6473 }), false],
    ['somebody else’s with a better metric', used(A), true],
    ['somebody else’s to a part of it', used('10.5.2.0/25'), true],
    ['a wider one, for ours is missing', used('10.0.0.0/8'), false],
    ['a wider one of another table, by a rule', used('0.0.0.0/0', { table: 51820 }), true],
  ])('%s', (_, route, rival) => {
    const rivals = asked();
    rivals.record(A, route, true);
    expect([...rivals.found]).toEqual(rival ? [[A, route]] : []);
    rivals.record(A, used(A, { protocol: 139, metric: 6473 }), true);
    expect([...rivals.found]).toEqual([]);
  });

  test('where packets go nowhere although ours is there, somebody drops them', () => {
    const rivals = asked();
    rivals.record(A, null, true);
    rivals.record(B, null, false);
    expect([...rivals.found]).toEqual([[A, null]]);
  });
});

describe('what is asked for', () => {
  test('each destination once, then what an event makes doubtful, then some in turn', () => {
    const rivals = asked();
    expect(rivals.take(10)).toEqual([]);
    rivals.suspect(toCidr('10.5.3.7/32'));
    rivals.suspect(toCidr('10.0.0.0/8'));
    rivals.suspect(toCidr('192.0.2.0/24'));
    expect(rivals.take(10)).toEqual([B]);
    for (const dst of [A, B, A]) {
      rivals.suspectSome(1);
      expect(rivals.take(10)).toEqual([dst]);
    }
    rivals.suspectAll();
    expect([rivals.take(1), rivals.take(10)]).toEqual([[A], [B]]);
  });

  test('what is not wanted any more is forgotten', () => {
    const rivals = asked();
    rivals.record(A, used(A), true);
    rivals.suspectAll();
    rivals.setDesired([ours(B)]);
    expect([[...rivals.found], rivals.take(10)]).toEqual([[], [B]]);
    rivals.record(A, used(A), true);
    expect([...rivals.found]).toEqual([]);
  });
});
