import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { quorumReached, voteResult } from '../../../../raft/core/quorum.ts';
import type { Configuration, ReplicaId } from '../../../../raft/core/types.ts';
import { configuration, id } from './network.ts';

/** Deliberately dumb: try every subset of the members that is a quorum of each half. */
function isQuorum(c: Configuration, yes: ReadonlySet<ReplicaId>): boolean {
  const holds = (half: readonly ReplicaId[]): boolean =>
    2 * half.filter((v) => yes.has(v)).length > half.length;
  return holds(c.voters) && (c.outgoing.length === 0 || holds(c.outgoing));
}

const members = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 9 });
const anyConfiguration = fc
  .tuple(members, fc.option(members, { nil: [] }), members)
  .map(([voters, outgoing, learners]) => configuration(voters, learners, outgoing));
const perMember = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<readonly T[]> =>
  fc.array(value, { minLength: 10, maxLength: 10 });

describe('quorumReached', () => {
  test('is the highest value that a quorum has reached, and no higher one', () => {
    fc.assert(
      fc.property(anyConfiguration, perMember(fc.nat(20)), (c, values) => {
        const valueAt = (member: ReplicaId): number => values[member] ?? 0;
        const reached = (value: number): Set<ReplicaId> =>
          new Set([...c.voters, ...c.outgoing].filter((member) => valueAt(member) >= value));
        const result = quorumReached(c, valueAt);
        expect(isQuorum(c, reached(result))).toBe(true);
        expect(isQuorum(c, reached(result + 1))).toBe(false);
      }),
      { numRuns: 5_000 },
    );
  });

  test('never asks a learner', () => {
    const asked: number[] = [];
    quorumReached(configuration([1, 2], [3], [2, 4]), (member) => {
      asked.push(member);
      return 0;
    });
    expect(new Set(asked)).toEqual(new Set([1, 2, 4]));
  });

  test.each([
    [[5], 5],
    [[5, 3], 3],
    [[5, 3, 1], 3],
    [[5, 4, 3, 1], 3],
    [[5, 4, 3, 2, 1], 3],
  ])('of %j is %i: an even number of voters needs one more than half', (values, expected) => {
    const c = configuration(values.map((_, i) => i + 1));
    expect(quorumReached(c, (member) => values[member - 1] ?? 0)).toBe(expected);
  });

  test('does not exist without voters', () => {
    expect(() => quorumReached(configuration([]), () => 1)).toThrow('without voters');
  });
});

describe('voteResult', () => {
  test('agrees with a count of all that could still happen', () => {
    const answer = fc.constantFrom(true, false, undefined);
    fc.assert(
      fc.property(anyConfiguration, perMember(answer), (c, answers) => {
        const all = [...c.voters, ...c.outgoing];
        const yes = new Set(all.filter((member) => answers[member] === true));
        const possible = new Set(all.filter((member) => answers[member] !== false));
        const expected = isQuorum(c, yes) ? 'won' : isQuorum(c, possible) ? 'pending' : 'lost';
        expect(voteResult(c, (member) => answers[member])).toBe(expected);
      }),
      { numRuns: 5_000 },
    );
  });

  test('is never won in a configuration without voters', () => {
    expect(voteResult(configuration([]), () => true)).not.toBe('won');
  });

  test('needs both halves of a joint configuration', () => {
    const joint = configuration([1, 2, 3], [], [4, 5, 6]);
    const yes = new Set([id(1), id(2), id(3), id(4)]);
    expect(voteResult(joint, (member) => yes.has(member) || undefined)).toBe('pending');
    yes.add(id(5));
    expect(voteResult(joint, (member) => yes.has(member) || undefined)).toBe('won');
  });
});
