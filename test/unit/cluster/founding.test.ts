/** Of hosts that found clusters at once and name each other exactly one goes on. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge } from '../../../src/cluster/founding.ts';
import type { ProbeAnswer } from '../../../src/cluster/rpc.ts';
import { type Ip, ipFromBigInt, toIp } from '../../../src/net/ip.ts';

function answer(state: ProbeAnswer['state'], address: Ip, peers: readonly Ip[]): ProbeAnswer {
  return {
    kind: 'probe',
    state,
    clusterId: 'c',
    epoch: 1,
    address,
    peers,
    isLeader: false,
    leader: null,
    missing: [],
  };
}

const a = toIp('10.0.0.9');
const b = toIp('10.0.0.10');
const at = (host: Ip): { host: string; port: number } => ({ host, port: 6473 });

describe('what a named peer says before a cluster is founded', () => {
  it('refuses beside a member of a cluster', () => {
    expect(judge(a, at(b), answer('member', b, []), 'initialising')).toMatchObject({
      code: 'peer-in-cluster',
      exitCode: 7,
    });
  });

  it('refuses on the higher address, by value and not by text', () => {
    expect(judge(a, at(b), answer('initialising', b, [a, b]), 'initialising')).toBeNull();
    expect(judge(b, at(a), answer('initialising', a, [a, b]), 'initialising')).toMatchObject({
      code: 'founded-elsewhere',
      exitCode: 7,
    });
  });

  it('refuses beside one that has decided before it, and not the other way round', () => {
    expect(judge(a, at(b), answer('founding', b, [a, b]), 'initialising')).toMatchObject({ exitCode: 7 });
    expect(judge(a, at(b), answer('initialising', b, [a, b]), 'founding')).toBeNull();
  });

  it('goes on beside one that founds a cluster without this host', () => {
    expect(judge(b, at(a), answer('initialising', a, [toIp('10.0.0.1')]), 'initialising')).toBeNull();
  });

  it('lets exactly one of any two go on', () => {
    const ip = fc.bigInt(1n, 0xffff_fffen).map((value) => ipFromBigInt(4, value));
    fc.assert(
      fc.property(ip, ip, fc.constantFrom('initialising', 'founding'), (x, y, round) => {
        fc.pre(x !== y);
        const refused = [
          judge(x, at(y), answer(round, y, [x]), round),
          judge(y, at(x), answer(round, x, [y]), round),
        ].filter((refusal) => refusal !== null);
        expect(refused).toHaveLength(1);
      }),
    );
  });
});
