/** A learner that lies: it can neither lead nor ask for votes while a leader lives, and stops nobody. */
import { describe, expect, it } from 'vitest';
import { toLogIndex } from '../../../../raft/core/types.ts';
import { configuration, diskOf } from './network.ts';
import { at, command, Solo } from './solo.ts';

const LEARNER = 4;
const withLearner = configuration([1, 2, 3], [LEARNER]);

function heartbeat(solo: Solo, from: number, term: number): void {
  solo.receive({ kind: 'heartbeat-request', from, term, commit: toLogIndex(0), sequence: 1 });
}

function forge(solo: Solo, term: number): void {
  const entries = [command(term, 2)];
  solo.receive({
    kind: 'append-request',
    from: LEARNER,
    term,
    prev: at(1, 1),
    entries,
    commit: toLogIndex(2),
  });
}

describe('a learner', () => {
  it('cannot lead voters that hear their leader', () => {
    const voter = new Solo(diskOf([1], withLearner));
    heartbeat(voter, 2, 1);
    forge(voter, 2);
    heartbeat(voter, LEARNER, 2);
    voter.receive({ kind: 'vote-request', from: LEARNER, term: 9, last: at(8, 100), transfer: false });
    expect(voter.core.status).toMatchObject({ term: 1, leader: 2, last: at(1, 1), commit: 0 });
    expect(voter.of('append-accepted')).toEqual([]);
    expect(voter.of('vote-response')).toEqual([]);
  });

  it('cannot depose or stop a leader', () => {
    const leader = Solo.leader(diskOf([1], withLearner));
    const { term } = leader.core.status;
    heartbeat(leader, LEARNER, term);
    forge(leader, term + 1);
    leader.receive({
      kind: 'pre-vote-request',
      from: LEARNER,
      term,
      nextTerm: leader.core.status.term,
      last: at(9, 9),
    });
    expect(leader.core.status).toMatchObject({ role: 'leader', term });
  });

  it('may be a voter by an entry that has not arrived, once no leader is heard', () => {
    const voter = new Solo(diskOf([1], withLearner));
    heartbeat(voter, 2, 1);
    voter.advance(5_000);
    forge(voter, 2);
    expect(voter.core.status).toMatchObject({ leader: LEARNER, last: at(2, 2) });
  });
});
