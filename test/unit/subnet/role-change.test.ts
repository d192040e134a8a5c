/** What becomes of a wish is said before it is noted. */
import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import { toIp } from '../../../src/net/ip.ts';
import { toClusterTime } from '../../../src/subnet/lease.ts';
import type { Member } from '../../../src/subnet/member.ts';
import { type RoleProspect, roleProspect } from '../../../src/subnet/role-change.ts';
import type { ClusterState } from '../../../src/subnet/state.ts';
import { cluster, profile } from './samples.ts';

type Wish = boolean | null;

/** The first `voting` hosts vote. */
function given(wishes: readonly Wish[], voting: number, named: boolean) {
  const members = wishes.map(
    (wantsVoter, i): Member => ({
      ...profile(i + 1),
      wantsVoter,
      replicaId: toReplicaId(i + 1),
      joinedAt: toClusterTime(0),
    }),
  );
  const state: ClusterState = {
    ...cluster(1).state,
    members: new Map(members.map((one) => [one.nodeId, one])),
    peers: named ? [toIp('192.0.2.99')] : [],
  };
  return { state, voters: members.slice(0, voting).map((one) => one.replicaId) };
}

function prospect(
  wishes: readonly Wish[],
  voting: number,
  host: number,
  wantsVoter: boolean,
  named = true,
): RoleProspect {
  const { state, voters } = given(wishes, voting, named);
  const target = [...state.members.values()][host - 1];
  if (target === undefined) throw new Error(`no host ${host}`);
  return roleProspect({ state, voters, target, wantsVoter });
}

const code = (what: RoleProspect): string => (what.kind === 'refused' ? what.refusal.code : what.kind);

describe('a promotion', () => {
  it('waits for the second of a pair', () => {
    expect(code(prospect([true, null, null], 1, 2, true))).toBe('waits');
    expect(code(prospect([true, null, true], 1, 2, true))).toBe('soon');
    expect(code(prospect([true, null, null], 1, 2, true, false)), 'where nobody was named').toBe('soon');
    expect(code(prospect([true, true, null], 2, 3, true))).toBe('soon');
  });
  it('takes the place of a voter that was demoted', () => {
    expect(code(prospect([true, true, false, null], 3, 4, true))).toBe('soon');
  });
  it('ends at seven', () => {
    const wishes = Array.from({ length: 8 }, () => true);
    expect(code(prospect(wishes, 7, 8, true))).toBe('too-many-voters');
  });
});

describe('a demotion', () => {
  it('needs somebody in the place', () => {
    expect(code(prospect([true, true, true, null], 3, 2, false))).toBe('soon');
    const refused = prospect([true, true, true, false], 3, 2, false);
    expect(refused).toMatchObject({ refusal: { code: 'too-few-voters', exitCode: 1 } });
    expect(code(prospect([true, null, null], 1, 1, false))).toBe('too-few-voters');
  });
  it('waits for the second of a pair', () => {
    const five = [true, true, true, true, true];
    expect(code(prospect(five, 5, 2, false))).toBe('waits');
    expect(code(prospect([true, true, false, true, true], 5, 2, false))).toBe('soon');
    expect(code(prospect([true, true, true, true], 4, 2, false))).toBe('soon');
  });
  it('of a learner is done', () => {
    expect(code(prospect([true, null], 1, 2, false))).toBe('soon');
  });
});
