import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Membership } from '../../../../raft/core/membership.ts';
import type { ReplicaId } from '../../../../raft/core/types.ts';
import { type AutopilotInput, nextMembership } from '../../../../raft/runtime/autopilot.ts';
import { configuration, id } from '../core/network.ts';

const LIMITS = { votersMin: 3, votersMax: 7 };

interface Case {
  readonly voters: readonly number[];
  readonly outgoing?: readonly number[];
  readonly learners?: readonly number[];
  /** Everybody in the configuration unless told. */
  readonly members?: readonly number[];
  readonly wanted?: readonly number[];
  readonly spares?: readonly number[];
  readonly unwanted?: readonly number[];
  /** All learners unless told. */
  readonly ready?: readonly number[];
  readonly dead?: readonly number[];
}

const ids = (numbers: readonly number[]): readonly ReplicaId[] => numbers.map(id);

function inputOf(given: Case): AutopilotInput {
  const { voters, outgoing = [], learners = [] } = given;
  return {
    configuration: configuration([...voters], [...learners], [...outgoing]),
    members: ids(given.members ?? [...voters, ...learners]),
    wanted: ids(given.wanted ?? []),
    spares: ids(given.spares ?? []),
    unwanted: new Set(ids(given.unwanted ?? [])),
    ready: new Set(ids(given.ready ?? learners)),
    dead: new Set(ids(given.dead ?? [])),
    limits: LIMITS,
  };
}

const next = (given: Case): Membership | null => nextMembership(inputOf(given));
const voters = (given: Case): readonly number[] => next(given)?.voters ?? given.voters;

describe('members', () => {
  it('come in as learners, whoever wants them', () => {
    expect(next({ voters: [1], learners: [2], members: [1, 2, 3], wanted: [3], ready: [3] })).toEqual({
      voters: [1],
      learners: [2, 3],
    });
  });
  it('that belong to the cluster no more go, voter or learner', () => {
    expect(next({ voters: [1, 2, 3], learners: [4, 5], members: [1, 2, 4], ready: [] })).toEqual({
      voters: [1, 2],
      learners: [4],
    });
  });
  it('rest when nothing is to change', () => {
    expect(next({ voters: [1, 2, 3], learners: [4], spares: [4] })).toBeNull();
  });
  it('wait while a change is under way', () => {
    expect(next({ voters: [1, 2], outgoing: [1, 2, 3], learners: [4], wanted: [4] })).toBeNull();
  });
  it('that are all gone leave nobody to decide', () => {
    expect(next({ voters: [1], learners: [2], members: [2] })).toBeNull();
  });
});

describe('more voters', () => {
  it('come in pairs, the best first, 1 to 3 to 5 to 7', () => {
    const learners = [2, 3, 4, 5, 6, 7, 8, 9];
    const wanted = [9, 2, 4, 3, 5, 6, 7, 8];
    expect(voters({ voters: [1], learners, wanted })).toEqual([1, 2, 9]);
    expect(voters({ voters: [1, 2, 9], learners: [3, 4, 5, 6, 7, 8], wanted })).toEqual([1, 2, 3, 4, 9]);
    expect(voters({ voters: [1, 2, 3, 4, 5, 6, 7], learners: [8, 9], wanted: [8, 9] })).toEqual([
      1, 2, 3, 4, 5, 6, 7,
    ]);
  });
  it('wait for the second of the pair', () => {
    expect(next({ voters: [1], learners: [2, 3], wanted: [2, 3], ready: [2] })).toBeNull();
    expect(next({ voters: [1], learners: [2, 3], wanted: [2], spares: [3] })).toBeNull();
    expect(next({ voters: [1], learners: [2], wanted: [2, 2] })).toBeNull();
  });
  it('are not made of those who are not ready, not learners yet, or not members', () => {
    expect(next({ voters: [1], learners: [2, 3], wanted: [2, 3], ready: [] })).toBeNull();
    expect(voters({ voters: [1], learners: [2], members: [1, 2, 3], wanted: [2, 3], ready: [2, 3] })).toEqual(
      [1],
    );
    expect(voters({ voters: [1], learners: [2, 3], members: [1, 2], wanted: [2, 3] })).toEqual([1]);
  });
});

describe('the place of a voter that has left', () => {
  it('goes to the one that is wanted, else to a spare, in the same change', () => {
    const given = { voters: [1, 2, 3], learners: [4, 5], members: [1, 2, 4, 5], spares: [4, 5] };
    expect(next({ ...given, wanted: [5] })).toEqual({ voters: [1, 2, 5], learners: [4] });
    expect(next(given)).toEqual({ voters: [1, 2, 4], learners: [5] });
  });
});

describe('a dead voter', () => {
  it('is demoted in the change that promotes another', () => {
    expect(next({ voters: [1, 2, 3], learners: [4], spares: [4], dead: [3] })).toEqual({
      voters: [1, 2, 4],
      learners: [3],
    });
  });
  it('stays without a replacement', () => {
    expect(next({ voters: [1, 2, 3], learners: [4], dead: [3] })).toBeNull();
    expect(next({ voters: [1, 2, 3], learners: [4], spares: [4], ready: [], dead: [3] })).toBeNull();
  });
  it('goes with others only as far as they are a minority', () => {
    const learners = [6, 7, 8];
    const given = { voters: [1, 2, 3, 4, 5], learners, spares: learners, dead: [3, 4, 5] };
    expect(voters(given)).toEqual([1, 2, 5, 6, 7]);
    expect(voters({ voters: [1], learners: [2], spares: [2], dead: [1] })).toEqual([1]);
  });
  it('is replaced before the cluster grows', () => {
    expect(voters({ voters: [1, 2, 3], learners: [4, 5], wanted: [4, 5], dead: [2] })).toEqual([1, 3, 4]);
  });
});

describe('a voter that is not wanted any more', () => {
  it('goes in the change that promotes another, before a dead one', () => {
    const given = { voters: [1, 2, 3], learners: [4], spares: [4], unwanted: [2], dead: [3] };
    expect(next(given)).toEqual({ voters: [1, 3, 4], learners: [2] });
  });
  it('goes with a second one, or alone where the number is even, but never below the minimum', () => {
    expect(voters({ voters: [1, 2, 3, 4, 5], unwanted: [2, 4] })).toEqual([1, 3, 5]);
    expect(voters({ voters: [1, 2, 3, 4, 5], unwanted: [2] })).toEqual([1, 2, 3, 4, 5]);
    expect(voters({ voters: [1, 2, 3, 4], unwanted: [2] })).toEqual([1, 3, 4]);
    expect(voters({ voters: [1, 2, 3], unwanted: [2, 3] })).toEqual([1, 2, 3]);
  });
});

describe('whatever the input', () => {
  const flags = fc.record({
    member: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
    wanted: fc.boolean(),
    spare: fc.boolean(),
    unwanted: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
    ready: fc.boolean(),
    dead: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  });
  /** Some voters, some learners, some that are known to nobody yet. */
  const cases = fc
    .tuple(
      fc.array(flags, { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 0, max: 12 }),
    )
    .map(([all, voting, learning]): Required<Omit<Case, 'outgoing'>> => {
      const pick = (test: (flag: (typeof all)[number], i: number) => boolean): number[] =>
        all.flatMap((flag, i) => (test(flag, i) ? [i + 1] : []));
      return {
        voters: pick((_, i) => i < voting),
        learners: pick((_, i) => i >= voting && i < voting + learning),
        members: pick((flag) => flag.member),
        wanted: pick((flag) => flag.wanted).reverse(),
        spares: pick((flag) => flag.spare),
        unwanted: pick((flag) => flag.unwanted),
        ready: pick((flag) => flag.ready),
        dead: pick((flag) => flag.dead),
      };
    });

  it('keeps the rules at every step, and comes to rest', () => {
    fc.assert(
      fc.property(cases, (given) => {
        let now: Case = given;
        for (let round = 0; ; round++) {
          const step = next(now);
          if (step === null) break;
          expect(round, 'comes to rest').toBeLessThan(12);
          keepsTheRules(now, step);
          now = { ...given, voters: step.voters, learners: step.learners };
        }
      }),
      { numRuns: 20_000 },
    );
  });

  function keepsTheRules(before: Case, { voters: after, learners }: Membership): void {
    const has = (all: readonly number[] | undefined, one: number): boolean => all?.includes(one) ?? false;
    const kept = before.voters.filter((voter) => has(before.members, voter));
    const promoted = after.filter((voter) => !has(before.voters, voter));
    const demoted = kept.filter((voter) => !has(after, voter));
    expect(
      [...after, ...learners].sort((a, b) => a - b),
      'all members and nobody else',
    ).toEqual(before.members);
    for (const one of promoted) {
      expect(has(before.learners, one) && has(before.ready, one), 'learner first, and ready').toBe(true);
      expect(has(before.wanted, one) || has(before.spares, one), 'wanted or spare').toBe(true);
    }
    for (const one of demoted)
      expect(has(before.unwanted, one) || has(before.dead, one), 'demoted for a reason').toBe(true);
    const dead = demoted.filter((one) => !has(before.unwanted, one));
    expect(dead.length, 'no dead voter without a replacement').toBeLessThanOrEqual(promoted.length);
    expect(2 * demoted.length, 'at most a minority').toBeLessThan(kept.length);
    expect(after.length, 'never below the minimum').toBeGreaterThanOrEqual(
      Math.min(kept.length, LIMITS.votersMin),
    );
    expect(after.length, 'never above the maximum').toBeLessThanOrEqual(
      Math.max(kept.length, LIMITS.votersMax),
    );
    if (after.length !== kept.length) expect(after.length % 2, 'odd, but for who has left').toBe(1);
    if (after.length > kept.length + 1)
      expect(
        promoted.every((one) => has(before.wanted, one)),
        'spares never make a cluster larger',
      ).toBe(true);
  }
});
