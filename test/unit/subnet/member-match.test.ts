import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import { toClusterTime } from '../../../src/subnet/lease.ts';
import type { Member } from '../../../src/subnet/member.ts';
import { matchMember } from '../../../src/subnet/member-match.ts';
import { profile } from './samples.ts';

function member(n: number, name: string): Member {
  return { ...profile(n), name, replicaId: toReplicaId(n), joinedAt: toClusterTime(0) };
}

const members = [member(1, 'web'), member(2, 'web-2'), member(3, 'db')];

describe('NODE', () => {
  const match = (text: string): string => {
    const found = matchMember(members, text);
    return found.ok ? found.member.name : found.refusal.code;
  };
  it('is a whole name or id, also where it begins another', () => {
    expect(match('web')).toBe('web');
    expect(match(members[2]?.nodeId ?? '')).toBe('db');
  });
  it('is the beginning of one', () => {
    expect(match('d')).toBe('db');
    expect(match('web-')).toBe('web-2');
    expect(match(members[0]?.nodeId.slice(0, 8) ?? '')).toBe('web');
  });
  it('is refused where it means nobody, or more than one', () => {
    expect(match('x')).toBe('no-such-member');
    expect(match('')).toBe('no-such-member');
    expect(match('we')).toBe('ambiguous-member');
    const found = matchMember(members, 'we');
    expect(found.ok ? '' : found.refusal).toMatchObject({
      exitCode: 2,
      text: '"we" may be any of web, web-2.',
    });
  });
});
