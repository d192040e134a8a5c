/**
 * Mistakes that real implementations of Raft shipped, each as a change of one line of the compiled library. `find` stands
 * exactly once in the file: a line that has changed since makes its mutant fail loudly instead of proving nothing.
 */
import type { Swarm } from './swarms.ts';
import type { Wire } from './wires.ts';

export interface Mutant {
  readonly name: string;
  /** Who made it, or the rule of the paper (P) or thesis (T) that it breaks. */
  readonly source: string;
  /** Below dist/raft. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** What the mistake needs to show: otherwise the swarm that the seed draws. */
  readonly swarm?: Swarm;
  /** What the network does besides: otherwise what the seed draws. */
  readonly wire?: Wire;
}

export const MUTANTS: readonly Mutant[] = [
  // Elections.
  {
    name: 'a doubled vote counts twice',
    source: 'xraft#27, coyote sample, liferaft',
    file: 'core/candidate.js',
    find: 'if (role.votes.has(from))',
    replace: `if (role.votes.has(from))
        from = members(replica.log.configuration).find((id) => !role.votes.has(id)) ?? from;
    if (role.votes.has(from))`,
  },
  {
    name: 'two votes in one term',
    source: 'P 5.2',
    file: 'core/election.js',
    find: 'const free = request.term > voter.term || voter.vote === null || voter.vote === request.from;',
    replace: 'const free = true;',
  },
  {
    name: 'the vote is forgotten when a leader is heard',
    source: 'camunda#5356',
    file: 'core/follower.js',
    find: 'role.heardAt = replica.now;',
    replace: 'role.heardAt = replica.now; replica.vote = null;',
  },
  {
    name: 'the vote is not written',
    source: 'liferaft',
    file: 'core/replica.js',
    find: '{ term: this.term, vote: this.vote, commit: this.#commit }',
    replace: '{ term: this.term, vote: null, commit: this.#commit }',
  },
  {
    name: 'a vote leaves before it is written',
    source: 'P figure 2 (updated on stable storage before responding)',
    file: 'core/candidate.js',
    find: "replica.sendAfterPersist({ kind: 'vote-response'",
    replace: "replica.send({ kind: 'vote-response'",
  },
  {
    name: 'a candidate asks for votes and counts its own before it is written',
    source: 'nebula#3415',
    file: 'core/candidate.js',
    find: "replica.sendAfterPersist({ kind: 'vote-request'",
    replace: "role.votes.set(id, true); replica.send({ kind: 'vote-request'",
  },
  {
    name: 'the shorter log of an equal term gets the vote',
    source: 'P 5.4.1',
    file: 'core/election.js',
    find: 'return candidate.index >= voter.index;',
    replace: 'return true;',
  },
  {
    name: 'the longer log gets the vote, whatever its last term',
    source: 'P 5.4.1',
    file: 'core/election.js',
    find: 'return candidate.term > voter.term;',
    replace: 'return candidate.index >= voter.index;',
    swarm: 'tails',
  },
  {
    name: 'a promoted learner that does not know it does not vote',
    source: 'etcd#10998, raft-rs#57',
    file: 'core/candidate.js',
    find: "granted: decideVote(voterOf(replica), message) === 'granted',",
    replace: "granted: replica.isVoter && decideVote(voterOf(replica), message) === 'granted',",
    swarm: 'changes',
  },
  {
    name: 'a leader of an earlier term gets no answer',
    source: 'etcd#8334, raft-rs#84',
    file: 'core/raft.js',
    find: 'answerStaleLeader(replica, message);',
    replace: '',
    swarm: 'tails',
  },
  {
    name: 'a learner campaigns',
    source: 'T 4.2.1',
    file: 'core/replica.js',
    find: `if (this.isVoter)
            return true;`,
    replace: 'return true;',
    swarm: 'learners',
  },
  {
    name: 'a leader without a quorum goes on',
    source: 'openraft#2080, the Cloudflare outage of 2020',
    file: 'core/leader.js',
    find: 'if (now >= quorumActiveAt(replica, leader) + options.electionTimeoutMsMax) {',
    replace: 'if (false) {',
  },
  // Replication.
  {
    name: 'a follower commits the stale tail of its log',
    source: 'copycat#265, scylla#9965',
    file: 'core/follower.js',
    find: 'replica.commitTo(toLogIndex(Math.min(message.commit, last)));',
    replace: 'replica.commitTo(toLogIndex(Math.min(message.commit, replica.log.lastIndex)));',
    wire: 'overlapping',
  },
  {
    name: 'an old append removes what follows it',
    source: 'openraft 9540c904, akka#152, raft-rs#113',
    file: 'core/follower.js',
    find: 'const missing = replica.log.firstMissing(entries);',
    replace: 'const missing = entries[0]?.index ?? null;',
  },
  {
    name: 'an append is taken wherever it fits by its index',
    source: 'P 5.3 (consistency check)',
    file: 'core/follower.js',
    find: 'if (!replica.log.contains(prev)) {',
    replace: 'if (prev.index > replica.log.lastIndex) {',
    swarm: 'tails',
  },
  {
    name: 'entries are acknowledged before they are written',
    source: 'P figure 2 (updated on stable storage before responding)',
    file: 'core/follower.js',
    find: "replica.sendAfterPersist({ kind: 'append-accepted'",
    replace: "replica.send({ kind: 'append-accepted'",
  },
  {
    name: 'the leader counts what it has not written',
    source: 'etcd#14370',
    file: 'core/leader.js',
    find: 'id === replica.id ? journal.stable',
    replace: 'id === replica.id ? log.lastIndex',
  },
  {
    name: 'entries of an earlier term are committed by counting',
    source: 'P figure 8, logcabin#44',
    file: 'core/leader.js',
    find: 'if (reached <= replica.commit || log.term(reached) !== replica.term)',
    replace: 'if (reached <= replica.commit)',
  },
  {
    name: 'half of an even number is a majority',
    source: 'raft-java#21',
    file: 'core/quorum.js',
    find: 'return Math.floor(size / 2) + 1;',
    replace: 'return Math.ceil(size / 2);',
  },
  {
    name: 'a heartbeat announces more than its receiver is known to hold',
    source: 'etcd raft.go, bcastHeartbeat',
    file: 'core/rounds.js',
    find: 'const commit = toLogIndex(Math.min(progress.match, replica.commit));',
    replace: 'const commit = replica.commit;',
  },
  {
    name: 'the write of overwritten entries vouches for those that replaced them',
    source: 'etcd async_storage_writes_append_aba_race',
    file: 'core/journal.js',
    find: 'this.#clamp(toLogIndex(from - 1));',
    replace: 'this.#handed = toLogIndex(Math.min(this.#handed, from - 1));',
  },
  {
    name: 'entries are applied again',
    source: 'etcd#13766',
    file: 'core/replica.js',
    find: 'this.#emitted = this.#commit;',
    replace: 'this.#emitted = toLogIndex(Math.max(this.#emitted, this.#commit - 1));',
  },
  {
    name: 'a new leader appends no entry of its own',
    source: 'P 8',
    file: 'core/leader.js',
    find: "append(replica, leader, { kind: 'noop' });",
    replace: '',
  },
  {
    name: 'a follower that is not heard for a while is never asked again',
    source: 'etcd#10308',
    file: 'core/progress.js',
    find: 'if (this.#state.awaiting && this.#retransmitAt === Number.POSITIVE_INFINITY)',
    replace: 'if (false)',
  },
  // Membership.
  {
    name: 'voters are changed without a joint phase',
    source: 'P 6, raft-dev t4xj6dJTP6E',
    file: 'core/membership.js',
    find: 'outgoing: sameVoters ? [] : current.voters',
    replace: 'outgoing: []',
    swarm: 'changes',
  },
  {
    name: 'the joint phase ends before it is committed',
    source: 'camunda#62842',
    file: 'core/leader.js',
    find: "return { kind: 'appended', id: append(replica, role, { kind: 'configuration', configuration }) };",
    replace: `const id = append(replica, role, { kind: 'configuration', configuration });
    append(replica, role, { kind: 'configuration', configuration: leaveJoint(configuration) });
    return { kind: 'appended', id };`,
    swarm: 'changes',
  },
  {
    name: 'only the leader that began the joint phase ends it',
    source: 'etcd#12136, #12359',
    file: 'core/leader.js',
    find: 'if (isJoint(configuration)) {',
    replace:
      'if (isJoint(configuration) && replica.log.term(replica.log.configurationIndex) === replica.term) {',
    swarm: 'changes',
  },
  {
    name: 'in the joint phase the new voters decide alone',
    source: 'P 6 (separate majorities)',
    file: 'core/quorum.js',
    find: 'return outgoing.length > 0 ? [voters, outgoing] : [voters];',
    replace: 'return [voters];',
    swarm: 'changes',
  },
  {
    name: 'learners count',
    source: 'T 4.2.1',
    file: 'core/quorum.js',
    find: 'return outgoing.length > 0 ? [voters, outgoing] : [voters];',
    replace: 'return outgoing.length > 0 ? [voters, outgoing] : [[...voters, ...configuration.learners]];',
    swarm: 'changes',
  },
  {
    name: 'a change begins while another is under way',
    source: 'T 4.1, raft-dev t4xj6dJTP6E',
    file: 'core/leader.js',
    find: 'log.term(replica.commit) === replica.term && log.configurationIndex <= replica.commit;',
    replace: 'log.term(replica.commit) === replica.term;',
    swarm: 'changes',
  },
  {
    name: 'a removed leader goes on',
    source: 'etcd#11038',
    file: 'core/leader.js',
    find: 'else if (!isVoter(configuration, replica.id)) {',
    replace: 'else if (false) {',
    swarm: 'changes',
  },
  {
    name: 'an overwritten configuration stays in force',
    source: 'P 6 (the latest configuration in its log)',
    file: 'core/log.js',
    find: 'this.#configurations = this.#configurations.filter((entry) => entry.index < from);',
    replace: '',
    swarm: 'changes',
  },
  // Snapshots.
  {
    name: 'a snapshot carries the configuration at the end of the log',
    source: 'matrixone#23383, pikiwidb#385',
    file: 'core/log.js',
    find: 'this.#configurations.findLast((entry) => entry.index <= index)',
    replace: 'this.#configurations.at(-1)',
    swarm: 'changes',
  },
  {
    name: 'after a snapshot the configuration is that of the old log',
    source: 'openraft#1808, async-raft#133',
    file: 'core/log.js',
    find: `this.#entries = [];
        this.#configurations = [];`,
    replace: 'this.#entries = [];',
    swarm: 'changes-and-snapshots',
  },
  {
    name: 'a snapshot leaves the tail of the old log',
    source: 'P 7',
    file: 'core/log.js',
    find: `this.#entries = [];
        this.#configurations = [];`,
    replace: `this.#entries = this.#entries.filter((entry) => entry.index > snapshot.meta.last.index);
        this.#configurations = [];`,
    swarm: 'tails',
  },
  {
    name: 'a snapshot leaves the tail of the old log on the disk',
    source: 'etcd#22442',
    file: 'core/journal.js',
    find: 'if (this.#handed > index || this.#truncateFrom !== null)',
    replace: 'if (false)',
    swarm: 'tails',
  },
  {
    name: 'an old snapshot replaces a newer state',
    source: 'etcd ErrSnapOutOfDate',
    file: 'core/follower.js',
    find: 'if (last.index > replica.commit) {',
    replace: 'if (true) {',
    swarm: 'late-snapshots',
  },
  {
    name: 'a chunk is taken whatever its offset',
    source: 'P figure 13',
    file: 'core/snapshot-transfer.js',
    find: 'if (offset !== this.#received)',
    replace: 'if (false)',
  },
  {
    name: 'the digest of a snapshot is not looked at',
    source: 'hashicorp file_snapshot.go, dragonboat',
    file: 'core/snapshot-transfer.js',
    find: 'return sameBytes(digestOf(data), this.digest) ?',
    replace: 'return true ?',
    wire: 'garbling',
  },
  // Reads and transfer.
  {
    name: 'a new leader answers reads before it knows what is committed',
    source: 'etcd#7331, redisraft#22',
    file: 'core/reads.js',
    find: 'const knowsCommit = replica.log.term(replica.commit) === replica.term;',
    replace: 'const knowsCommit = true;',
  },
  {
    name: 'an answer to an older heartbeat confirms a read',
    source: 'etcd#20418, antfly#599',
    file: 'core/replication.js',
    find: 'const { sequence, lastIndex } = message;',
    replace: 'const { lastIndex } = message; const { sequence } = leader;',
    swarm: 'paused',
    wire: 'replaying',
  },
  {
    name: 'a read is confirmed without a quorum',
    source: 'T 6.4, async-raft client_read',
    file: 'core/reads.js',
    find: 'if (answered < round.sequence)',
    replace: 'if (false)',
    swarm: 'separated',
  },
  {
    name: 'a transfer that fails never ends',
    source: 'hashicorp/raft#493, #696',
    file: 'core/transfer.js',
    find: 'if (replica.now >= transfer.deadline || !isVoter)',
    replace: 'if (!isVoter)',
    swarm: 'transfers',
  },
];
