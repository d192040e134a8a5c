import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  EMPTY_CONFIGURATION,
  isJoint,
  isMember,
  isVoter,
  leaveJoint,
  members,
  planChange,
  sameConfiguration,
} from '../../../../raft/core/membership.ts';
import type { Configuration } from '../../../../raft/core/types.ts';
import { configuration, id, ids } from './network.ts';

function planned(current: Configuration, voters: number[], learners: number[] = []): Configuration {
  const plan = planChange(current, { voters: ids(...voters), learners: ids(...learners) });
  if (plan.kind === 'invalid') throw new Error(plan.reason);
  return plan.configuration;
}

describe('planChange', () => {
  test('goes through a joint configuration when voters change, even by one', () => {
    expect(planned(configuration([1, 2, 3]), [1, 2, 3, 4])).toEqual(
      configuration([1, 2, 3, 4], [], [1, 2, 3]),
    );
  });

  test('takes one step when only learners change', () => {
    expect(planned(configuration([1], [2]), [1], [3, 2])).toEqual(configuration([1], [2, 3]));
    expect(planned(configuration([1], [2]), [1])).toEqual(configuration([1]));
  });

  test('keeps a voter that is being demoted in the outgoing half and among the learners', () => {
    const joint = planned(configuration([1, 2, 3], [4]), [1, 2, 4], [3]);
    expect(joint).toEqual(configuration([1, 2, 4], [3], [1, 2, 3]));
    expect(leaveJoint(joint)).toEqual(configuration([1, 2, 4], [3]));
  });

  test('sorts what it is given', () => {
    expect(planned(configuration([1]), [3, 1, 2]).voters).toEqual([1, 2, 3]);
  });

  test.each([
    [configuration([1]), [], [], 'at least one voter'],
    [configuration([1]), [1, 1], [], 'named twice'],
    [configuration([1]), [1], [2, 2], 'named twice'],
    [configuration([1]), [1, 2], [2], 'replica 2 cannot be voter and learner'],
    [configuration([1, 2], [3]), [2, 1], [3], 'nothing would change'],
    [configuration([1], [], [2]), [1], [3], 'is joint'],
  ])('refuses, from %j, voters %j and learners %j: %s', (current, voters, learners, reason) => {
    const plan = planChange(current, { voters: ids(...voters), learners: ids(...learners) });
    expect(plan).toMatchObject({ kind: 'invalid', reason: expect.stringContaining(reason) });
  });

  test('ends, through at most one joint configuration, exactly at the target', () => {
    const some = fc.uniqueArray(fc.integer({ min: 1, max: 8 }), { maxLength: 6 });
    fc.assert(
      fc.property(some, some, some, some, (voters, learners, nextVoters, nextLearners) => {
        fc.pre(voters.length > 0 && nextVoters.length > 0);
        const only = (list: number[], without: number[]): number[] =>
          list.filter((n) => !without.includes(n));
        const sort = (list: number[]): number[] => list.toSorted((a, b) => a - b);
        const current = configuration(sort(voters), sort(only(learners, voters)));
        const target = configuration(sort(nextVoters), sort(only(nextLearners, nextVoters)));
        fc.pre(!sameConfiguration(current, target));
        const first = planned(current, nextVoters, only(nextLearners, nextVoters));
        expect(isJoint(first) ? leaveJoint(first) : first).toEqual(target);
        if (!isJoint(first)) expect(first.voters).toEqual(current.voters);
        else expect(first.outgoing).toEqual(current.voters);
      }),
    );
  });
});

test('who is who in a joint configuration', () => {
  const joint = configuration([1, 2], [3, 4], [1, 3]);
  expect([1, 2, 3, 4, 5].map((n) => isVoter(joint, id(n)))).toEqual([true, true, true, false, false]);
  expect([1, 2, 3, 4, 5].map((n) => isMember(joint, id(n)))).toEqual([true, true, true, true, false]);
  expect(members(joint)).toEqual([1, 2, 3, 4]);
  expect(members(EMPTY_CONFIGURATION)).toEqual([]);
});
