import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type Configuration, toReplicaId } from '../../../raft/core/types.ts';
import { type Ip, toIp } from '../../../src/net/ip.ts';
import { desiredConfiguration } from '../../../src/subnet/fleet.ts';
import { toClusterTime } from '../../../src/subnet/lease.ts';
import type { Member } from '../../../src/subnet/member.ts';

/** Many runs, and the machine may have other work. */
vi.setConfig({ testTimeout: 60_000 });

import { profile } from './samples.ts';

/** Replica n is host n. */
function member(n: number, wantsVoter: boolean | null = null): Member {
  return { ...profile(n), wantsVoter, replicaId: toReplicaId(n), joinedAt: toClusterTime(n) };
}

function peers(...hosts: number[]): readonly Ip[] {
  return hosts.map((n) => toIp(`192.0.2.${n}`));
}

function configuration(voters: number[], learners: number[], outgoing: number[] = []): Configuration {
  return {
    voters: voters.map(toReplicaId),
    outgoing: outgoing.map(toReplicaId),
    learners: learners.map(toReplicaId),
  };
}

interface Given {
  readonly members: readonly Member[];
  readonly peers?: readonly Ip[];
  readonly voters: number[];
  readonly learners?: number[];
  readonly outgoing?: number[];
  readonly caughtUp?: number[];
  /** Those that have caught up, unless told. */
  readonly stable?: number[];
  readonly dead?: number[];
}

function desired(given: Given) {
  const { members, peers: named = [], voters, learners = [], outgoing = [] } = given;
  return desiredConfiguration({
    members: members.map((one) => asJoined(one, named)),
    peers: named,
    current: configuration(voters, learners, outgoing),
    health: healthOf(given),
  });
}

function healthOf({ caughtUp = [], stable = caughtUp, dead = [] }: Omit<Given, 'members' | 'voters'>) {
  const ids = (hosts: number[]) => new Set(hosts.map(toReplicaId));
  return { caughtUp: ids(caughtUp), stable: ids(stable), dead: ids(dead) };
}

/** The log decides at the join who was named; nothing later does. */
function asJoined(one: Member, named: readonly Ip[]): Member {
  return one.wantsVoter !== false && named.includes(one.address) ? { ...one, wantsVoter: true } : one;
}

const hosts = (count: number) => Array.from({ length: count }, (_, i) => member(i + 1));

it('changes nothing when nothing is to change', () => {
  expect(desired({ members: hosts(1), voters: [1] })).toBeNull();
  expect(desired({ members: hosts(2), voters: [1], learners: [2], caughtUp: [2] })).toBeNull();
});

it('takes a new member in as a learner, and leaves a removed one out', () => {
  expect(desired({ members: hosts(3), voters: [1], learners: [2] })).toEqual({
    voters: [1],
    learners: [2, 3],
  });
  expect(desired({ members: hosts(2), voters: [1], learners: [2, 3] })).toEqual({
    voters: [1],
    learners: [2],
  });
  expect(desired({ members: hosts(2), voters: [1, 2, 3] })).toEqual({ voters: [1, 2], learners: [] });
});

it('waits while a change is under way', () => {
  expect(desired({ members: hosts(3), voters: [1, 2], outgoing: [1], learners: [] })).toBeNull();
});

it('leaves alone a configuration none of whose voters is a member', () => {
  expect(desired({ members: [member(5)], voters: [1, 2, 3] })).toBeNull();
});

describe('without --peers', () => {
  it('promotes the two longest-standing learners that have caught up, in one change', () => {
    const given = { members: hosts(5), voters: [1], learners: [2, 3, 4, 5] };
    expect(desired({ ...given, caughtUp: [5, 3, 4] })).toEqual({ voters: [1, 3, 4], learners: [2, 5] });
    expect(desired({ ...given, caughtUp: [3] })).toBeNull();
  });
  it('stops at three', () => {
    expect(desired({ members: hosts(5), voters: [1, 2, 3], learners: [4, 5], caughtUp: [4, 5] })).toBeNull();
  });
  it('fills up one after a voter was removed', () => {
    const members = [member(1), member(2), member(4)];
    expect(desired({ members, voters: [1, 2, 3], learners: [4], caughtUp: [4] })).toEqual({
      voters: [1, 2, 4],
      learners: [],
    });
  });
  it('goes beyond three only for hosts that asked, and never for one that asked not to', () => {
    const members = [...hosts(3), member(4, true), member(5, true), member(6, false)];
    const given = { members, voters: [1, 2, 3], learners: [4, 5, 6] };
    expect(desired({ ...given, caughtUp: [4, 5, 6] })).toEqual({ voters: [1, 2, 3, 4, 5], learners: [6] });
    expect(desired({ ...given, caughtUp: [4, 6] })).toBeNull();
    const pair = [member(1), member(2, false), member(3)];
    expect(desired({ members: pair, voters: [1], learners: [2, 3], caughtUp: [2, 3] })).toBeNull();
  });
  it('lets one that asked and one that did not make the pair', () => {
    const members = [member(1), member(2), member(3, true)];
    expect(desired({ members, voters: [1], learners: [2, 3], caughtUp: [2, 3] })?.voters).toEqual([1, 2, 3]);
  });
});

describe('with --peers', () => {
  it('promotes the named, in pairs', () => {
    const given = { members: hosts(6), peers: peers(2, 4, 5, 6), voters: [1] };
    const first = { ...given, learners: [2, 3, 4, 5, 6], caughtUp: [2, 3, 4, 5, 6] };
    expect(desired(first)).toEqual({ voters: [1, 2, 4], learners: [3, 5, 6] });
    const second = { ...given, voters: [1, 2, 4], learners: [3, 5, 6], caughtUp: [3, 5, 6] };
    expect(desired(second)).toEqual({ voters: [1, 2, 4, 5, 6], learners: [3] });
  });
  it('rounds an even list down', () => {
    expect(
      desired({ members: hosts(2), peers: peers(1, 2), voters: [1], learners: [2], caughtUp: [2] }),
    ).toBeNull();
    const four = {
      members: hosts(4),
      peers: peers(1, 2, 3, 4),
      voters: [1, 2, 3],
      learners: [4],
      caughtUp: [4],
    };
    expect(desired(four)).toBeNull();
  });
  it('lets --learner on the host itself win', () => {
    const members = [member(1), member(2), member(3, false)];
    expect(
      desired({ members, peers: peers(1, 2, 3), voters: [1], learners: [2, 3], caughtUp: [2, 3] }),
    ).toBeNull();
  });
  it('makes no voter of a host that has taken a named address since it joined', () => {
    const moved = { ...member(2), address: toIp('192.0.2.9') };
    const current = configuration([1], [2, 3]);
    const health = healthOf({ caughtUp: [2, 3] });
    const members = [{ ...member(1), wantsVoter: true }, moved, { ...member(3), wantsVoter: true }];
    expect(desiredConfiguration({ members, peers: peers(1, 3, 9), current, health })).toBeNull();
  });
  it('ends at seven', () => {
    const given = { members: hosts(9), peers: peers(1, 2, 3, 4, 5, 6, 7, 8, 9) };
    expect(
      desired({ ...given, voters: [1, 2, 3, 4, 5, 6, 7], learners: [8, 9], caughtUp: [8, 9] }),
    ).toBeNull();
  });
});

describe('a host that was asked for', () => {
  const given = { members: hosts(5), peers: peers(2, 3, 4, 5), voters: [1], learners: [2, 3, 4, 5] };
  const caughtUp = [2, 3, 4, 5];
  it('votes as soon as it has caught up, where there is one voter only', () => {
    expect(desired({ ...given, caughtUp, stable: [] })?.voters).toEqual([1, 2, 3]);
  });
  it('has to prove itself like any other, where there are three', () => {
    const three = { ...given, voters: [1, 2, 3], learners: [4, 5], caughtUp };
    expect(desired({ ...three, stable: [4] })).toBeNull();
    expect(desired({ ...three, stable: [4, 5] })?.voters).toEqual([1, 2, 3, 4, 5]);
  });
  it('and one that was not, proves itself always', () => {
    const unasked = { members: hosts(3), voters: [1], learners: [2, 3], caughtUp: [2, 3] };
    expect(desired({ ...unasked, stable: [3] })).toBeNull();
    expect(desired({ ...unasked, stable: [2, 3] })?.voters).toEqual([1, 2, 3]);
  });
});

describe('the place of a voter', () => {
  it('that is dead goes to a host that may vote, named or not, but not to a --learner', () => {
    const given = { peers: peers(1, 2, 3), voters: [1, 2, 3], learners: [4], caughtUp: [4], dead: [2] };
    expect(desired({ ...given, members: hosts(4) })).toEqual({ voters: [1, 3, 4], learners: [2] });
    expect(desired({ ...given, members: [...hosts(3), member(4, false)] })).toBeNull();
  });
  it('that was removed does so, too', () => {
    const members = [member(1), member(2), member(4)];
    const given = { members, peers: peers(1, 2, 3), voters: [1, 2, 3], learners: [4] };
    expect(desired({ ...given, caughtUp: [4] })).toEqual({ voters: [1, 2, 4], learners: [] });
    expect(desired(given)).toEqual({ voters: [1, 2], learners: [4] });
  });
  it('that was demoted does so, too; until then it votes', () => {
    const members = [member(1, true), member(2, false), member(3, true), member(4)];
    const given = { members, voters: [1, 2, 3], learners: [4] };
    expect(desired(given)).toBeNull();
    expect(desired({ ...given, caughtUp: [4] })).toEqual({ voters: [1, 3, 4], learners: [2] });
  });
});

it('settles, and never makes a voter of a host that is not to be one', () => {
  const flags = fc.record({
    named: fc.boolean(),
    wants: fc.constantFrom(null, null, true, false),
    caughtUp: fc.boolean(),
    voter: fc.boolean(),
    removed: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  });
  fc.assert(
    fc.property(fc.array(flags, { minLength: 1, maxLength: 12 }), fc.boolean(), (all, anyPeers) => {
      const ids = all.map((_, i) => i + 1);
      const pick = (test: (flag: (typeof all)[number]) => boolean) =>
        all.flatMap((flag, i) => (test(flag) ? [i + 1] : []));
      const members = pick((flag) => !flag.removed).map((n) => member(n, all[n - 1]?.wants ?? null));
      const given = { members, peers: anyPeers ? peers(...pick((flag) => flag.named)) : [] };
      const caughtUp = pick((flag) => flag.caughtUp);
      let voters = pick((flag) => flag.voter).slice(0, 7);
      let learners = ids.filter((id) => !voters.includes(id));
      for (let round = 0; round < 9; round++) {
        const next = desired({ ...given, voters, learners, caughtUp });
        if (next === null) break;
        expect(round, 'settles').toBeLessThan(8);
        const kept = voters.filter((id) => members.some((one) => one.replicaId === id));
        const isWanted = (id: number): boolean => all[id - 1]?.wants !== false;
        expect(next.voters).toEqual(expect.arrayContaining(kept.filter(isWanted)));
        expect(next.voters.filter((id) => !kept.includes(id)).every(isWanted)).toBe(true);
        if (next.voters.length > kept.length) expect(next.voters.length % 2).toBe(1);
        expect(next.voters.length).toBeLessThanOrEqual(7);
        expect([...next.voters, ...next.learners].sort((a, b) => a - b)).toEqual(
          members.map((one) => one.replicaId),
        );
        voters = [...next.voters];
        learners = [...next.learners];
      }
    }),
  );
});
