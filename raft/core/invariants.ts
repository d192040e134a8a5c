/**
 * What must hold of one replica after every step, whatever happened. Cheap enough for every step of a simulation: the
 * most it does is to walk the log that is in memory. What spans replicas (one leader a term, equal logs) is the
 * simulator's to check.
 */
import { follows } from './log.ts';
import { isVoter, members, sameConfiguration } from './membership.ts';
import type { LeaderRole, Replica } from './replica.ts';
import { assert, toLogIndex } from './types.ts';

export function assertInvariants(replica: Replica): void {
  const { log, journal, commit, emitted, applied, term } = replica;
  const floor = log.snapshotLast.index;
  assert(floor <= applied, `snapshot ${floor} <= applied ${applied}`);
  assert(applied <= emitted, `applied ${applied} <= emitted ${emitted}`);
  assert(emitted <= commit, `emitted ${emitted} <= commit ${commit}`);
  assert(commit <= log.lastIndex, `commit ${commit} <= last ${log.lastIndex}`);
  assert(journal.stable <= journal.handed, `stable ${journal.stable} <= handed ${journal.handed}`);
  assert(journal.handed <= log.lastIndex, `handed ${journal.handed} <= last ${log.lastIndex}`);
  assert(log.last.term <= term, `last term ${log.last.term} <= term ${term}`);
  assert(journal.durable.term <= term, `durable term ${journal.durable.term} <= term ${term}`);
  assertLog(replica);
  const { role } = replica;
  if (role.kind === 'candidate' && role.phase === 'vote')
    assert(replica.vote === replica.id, 'a candidate votes for itself');
  if (role.kind === 'leader') assertLeader(replica, role);
}

function assertLog(replica: Replica): void {
  const { log } = replica;
  const first = log.firstIndex;
  const floor = log.snapshotLast;
  assert(first <= floor.index + 1, `no hole between snapshot ${floor.index} and ${first}`);
  assert(floor.index <= log.lastIndex, `snapshot ${floor.index} <= last ${log.lastIndex}`);
  const entries = first <= log.lastIndex ? log.slice(first, log.lastIndex) : [];
  const [head, ...tail] = entries;
  if (head !== undefined) assert(follows(head, tail), 'entries are in order');
  const latest = entries.findLast((entry) => entry.kind === 'configuration' && entry.index > floor.index);
  if (latest?.kind === 'configuration') {
    assert(
      sameConfiguration(latest.configuration, log.configuration),
      'configuration is the last of the log',
    );
    assert(latest.index === log.configurationIndex, 'configuration stands where the log has it');
  } else {
    const stored = log.snapshot?.meta.configuration ?? { voters: [], outgoing: [], learners: [] };
    assert(sameConfiguration(stored, log.configuration), 'configuration is that of the snapshot');
  }
  const pending = entries.filter((entry) => entry.kind === 'configuration' && entry.index > replica.commit);
  assert(pending.length <= 1, `${pending.length} configurations are not committed`);
}

function assertLeader(replica: Replica, leader: LeaderRole): void {
  const { log, id, journal } = replica;
  assert(replica.vote === id, 'a leader voted for itself');
  assert(journal.durable.term === replica.term, 'a leader leads in a durable term');
  const peers = members(log.configuration).filter((peer) => peer !== id);
  assert(peers.length === leader.peers.size, 'a leader has one progress for each peer');
  for (const peer of peers) {
    const progress = leader.peers.get(peer);
    assert(progress !== undefined, `no progress for ${peer}`);
    assert(progress.match < progress.next, `match ${progress.match} < next ${progress.next} of ${peer}`);
    assert(progress.next <= log.lastIndex + 1, `next ${progress.next} of ${peer} is within the log`);
  }
  const above = log.bytesAbove(replica.commit);
  assert(
    leader.uncommittedBytes === above,
    `${leader.uncommittedBytes} uncommitted bytes counted, ${above} found`,
  );
  const ownConfiguration =
    log.configurationIndex <= replica.commit && log.configuration.outgoing.length === 0;
  const settled = ownConfiguration && log.term(toLogIndex(replica.commit)) === replica.term;
  assert(
    !settled || isVoter(log.configuration, id),
    'a leader outside the committed configuration stepped down',
  );
}
