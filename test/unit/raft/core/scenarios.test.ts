/**
 * Scripts of what has broken real implementations: partitions in which nobody can be elected, replicas that do not know
 * what they have become, answers that arrive after a restart. Figures 7 and 8 of the paper are in test/paper.
 */
import { describe, expect, test } from 'vitest';
import { toLogIndex, toTerm } from '../../../../raft/core/types.ts';
import { configuration, diskOf, id, Network } from './network.ts';
import { at, command, Solo, THREE } from './solo.ts';

const i = toLogIndex;
const ELECTION_MS_MAX = 2_000;

describe('check-quorum', () => {
  // The bridge hears the old leader, and the majority {1, 2, 3} can elect only when the bridge votes.
  test('a leader that only reaches the bridge steps down and falls silent, and the majority elects', () => {
    const network = Network.voters(4);
    network.add(5, diskOf([1], configuration([1, 2, 3, 4, 5])));
    for (const n of [1, 2, 3, 4]) {
      network.node(n).disk.entries = diskOf([1], configuration([1, 2, 3, 4, 5])).entries;
      network.restart(n);
    }
    network.elect(5);
    network.run(500);
    // Edges: 1-2, 1-3, 2-3 and 3-5; 3 is the bridge.
    network.partition([5], [1, 2, 4]);
    network.partition([4], [1, 2, 3, 5]);
    const start = network.now;
    expect(network.runUntil(() => network.status(5).role !== 'leader', 2 * ELECTION_MS_MAX)).toBe(true);
    expect(network.now - start).toBeLessThanOrEqual(ELECTION_MS_MAX + 250);
    network.sent = [];
    const elected = (): boolean => [1, 2, 3].some((n) => network.status(n).role === 'leader');
    expect(network.runUntil(elected, 5 * ELECTION_MS_MAX)).toBe(true);
    expect(network.sent.some((m) => m.from === 5 && m.kind === 'heartbeat-request')).toBe(false);
    const leader = network.leader() ?? 0;
    expect(network.propose(leader, 'x').kind).toBe('appended');
    expect(
      network.runUntil(() => [1, 2, 3].every((n) => network.node(n).applied.some((e) => e.includes(':x')))),
    ).toBe(true);
  });

  test('an old answer proves nothing about now', () => {
    const leader = Solo.leader();
    const answer = (sequence: number): void => {
      for (const from of [2, 3]) {
        leader.receive({ kind: 'heartbeat-response', from, term: 2, sequence, lastIndex: i(2) });
      }
    };
    leader.advance(250);
    const [old] = leader.of('heartbeat-request').slice(-1);
    answer(old?.sequence ?? 0);
    const steps = 8;
    for (let n = 0; n < steps; n++) {
      expect(leader.core.status.role).toBe('leader');
      leader.advance(250);
      answer(old?.sequence ?? 0);
    }
    expect(leader.core.status).toMatchObject({ role: 'follower', term: 2, leader: null });
    answer(99);
    expect(leader.core.status.role).toBe('follower');
  });

  test('answers of a minority, of learners and of strangers do not keep a leader', () => {
    const leader = Solo.leader(diskOf([1], configuration([1, 2, 3, 4, 5], [6, 7, 8])));
    while (leader.core.status.role === 'leader' && leader.now < 60_000) {
      leader.advance(250);
      const { sequence } = leader.of('heartbeat-request').at(-1) ?? { sequence: 0 };
      for (const from of [2, 6, 7, 8, 9]) {
        leader.receive({ kind: 'heartbeat-response', from, term: 2, sequence, lastIndex: i(2) });
      }
    }
    expect(leader.core.status).toMatchObject({ role: 'follower', leader: null });
  });

  test('a paused leader steps down as soon as it wakes', () => {
    const leader = Solo.leader();
    leader.advance(60_000);
    expect(leader.core.status.role).toBe('follower');
  });

  test('a lone leader needs no timer at all', () => {
    const network = Network.bootstrap(1);
    network.elect();
    expect(network.now).toBeLessThan(10);
    expect(network.core(1).deadline()).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('pre-vote', () => {
  // One cohort has the longer log and the lower term, the other the higher term: neither could win alone.
  test('a mixed cohort elects: a rejection carries the higher term, and the asker adopts it', () => {
    for (let seed = 0; seed < 20; seed++) {
      const network = new Network({}, seed);
      const six = configuration([1, 2, 3], [], [4, 5, 6]);
      for (const n of [1, 2, 4]) network.add(n, diskOf([1, 2, 2, 2], six, 2));
      for (const n of [3, 5, 6]) network.add(n, diskOf([1], six, 9));
      expect(network.runUntil(() => network.leader() !== null)).toBe(true);
      expect([1, 2, 4]).toContain(network.leader());
      expect(network.now).toBeLessThan(10 * ELECTION_MS_MAX);
    }
  });

  test('a replica that was cut off rejoins without an election', () => {
    const network = Network.voters(3);
    const leader = network.elect(1);
    network.isolate(3);
    network.run(60_000);
    network.heal();
    network.run(10_000);
    expect(network.status(3)).toMatchObject({ term: 2, leader });
    expect(network.status(leader)).toMatchObject({ role: 'leader', term: 2 });
  });

  test('a replica of a higher term is taken back, at the price of one election', () => {
    const network = Network.voters(3);
    network.elect(1);
    network.crash(3);
    network.node(3).disk.hardState = { term: toTerm(20), vote: null, commit: i(0) };
    network.restart(3);
    const back = (): boolean => {
      const leader = network.leader();
      return (
        leader !== null &&
        network.status(3).commit === network.status(leader).last.index &&
        network.status(leader).term > 20
      );
    };
    expect(network.runUntil(back)).toBe(true);
    expect(network.status(network.leader() ?? 0).term).toBe(21);
  });
});

describe('a learner that was promoted and does not know it', () => {
  test('votes when it is asked, or there would be no leader', () => {
    const joint = configuration([1, 2, 3], [], [1, 2]);
    const knows = { ...at(1, 2), kind: 'configuration', configuration: joint } as const;
    const network = new Network();
    const base = diskOf([1], configuration([1, 2], [3]), 1);
    const hardState = { ...base.hardState, commit: i(1) };
    network.add(1, { hardState, snapshot: null, entries: [...base.entries, knows] });
    network.add(2, { hardState, snapshot: null, entries: [...base.entries] });
    network.add(3, { hardState, snapshot: null, entries: [...base.entries] });
    expect(network.status(3).role).toBe('learner');
    // Without 2 the incoming majority is {1, 3}; the outgoing one needs 2 for the first step.
    expect(network.elect()).toBe(1);
    expect(network.runUntil(() => network.status(1).configuration.outgoing.length === 0)).toBe(true);
  });

  test('also with an empty log and no configuration', () => {
    const joiner = new Solo({
      hardState: { term: toTerm(0), vote: null, commit: i(0) },
      snapshot: null,
      entries: [],
    });
    expect(joiner.core.deadline()).toBe(Number.POSITIVE_INFINITY);
    joiner.receive({ kind: 'vote-request', from: 7, term: 3, last: at(2, 9), transfer: false });
    expect(joiner.of('vote-response')).toMatchObject([{ to: 7, granted: true, term: 3 }]);
  });
});

describe('durability', () => {
  test('an answer to a vote request of before a crash cannot elect a replica that lost entries', () => {
    const solo = new Solo(diskOf([1], THREE));
    solo.holdsDisk = true;
    solo.receive({
      kind: 'append-request',
      from: 2,
      term: 1,
      prev: at(1, 1),
      entries: [command(1, 2)],
      commit: i(0),
    });
    solo.campaign();
    // Nothing that could be answered has left while the entry is not durable.
    expect(solo.of('vote-request')).toEqual([]);
  });

  test('the commit hint never points beyond what the disk was given', () => {
    const solo = new Solo(diskOf([1], THREE));
    const [to, from] = THREE.voters;
    if (to === undefined || from === undefined) throw new Error('three voters');
    const entries = [command(1, 2)];
    const term = toTerm(1);
    solo.core.step({ kind: 'append-request', from, to, term, prev: at(1, 1), entries, commit: i(2) }, 0);
    expect(solo.core.status.commit).toBe(2);
    expect(solo.core.hardState).toEqual({ term: 1, vote: null, commit: 1 });
    solo.drain();
    expect(solo.core.hardState.commit).toBe(2);
  });

  test('the write of something else does not make the own vote count', () => {
    const solo = new Solo(diskOf([1], THREE));
    solo.holdsDisk = true;
    solo.receive({
      kind: 'append-request',
      from: 2,
      term: 1,
      prev: at(1, 1),
      entries: [command(1, 2)],
      commit: i(0),
    });
    solo.campaign();
    const [entry, vote] = solo.held.splice(0);
    expect([entry?.hardState.vote, vote?.hardState.vote]).toEqual([null, 1]);
    solo.core.persisted(1, solo.now);
    solo.receive({ kind: 'vote-response', from: 2, term: 2, granted: true });
    expect(solo.core.status.role).toBe('candidate');
    solo.core.persisted(2, solo.now);
    expect(solo.core.status.role).toBe('leader');
  });

  test('an acknowledgement never leaves when its entries were replaced before they were written', () => {
    const solo = new Solo(diskOf([1], THREE));
    const { core } = solo;
    const append = (from: number, term: number) =>
      ({
        kind: 'append-request',
        from,
        term,
        prev: at(1, 1),
        entries: [command(term, 2)],
        commit: i(0),
      }) as const;
    const to = core.status.id;
    core.step({ ...append(2, 2), from: THREE.voters[1] ?? to, to, term: toTerm(2) }, 0);
    core.step({ ...append(3, 3), from: THREE.voters[2] ?? to, to, term: toTerm(3) }, 0);
    solo.drain();
    expect(solo.of('append-accepted')).toMatchObject([{ to: 3, term: 3, match: 2 }]);
    expect(solo.persisted).toMatchObject([{ truncateFrom: null, entries: [{ term: 3 }] }]);
  });

  test('a leader that overwrote entries while they were written does not count them', () => {
    const solo = new Solo(diskOf([1], THREE));
    solo.holdsDisk = true;
    solo.receive({
      kind: 'append-request',
      from: 2,
      term: 2,
      prev: at(1, 1),
      entries: [command(2, 2), command(2, 3), command(2, 4)],
      commit: i(0),
    });
    solo.receive({
      kind: 'append-request',
      from: 3,
      term: 3,
      prev: at(1, 1),
      entries: [command(3, 2)],
      commit: i(0),
    });
    const [first, second] = solo.held.splice(0);
    expect([first?.entries.length, second?.truncateFrom]).toEqual([3, 2]);
    solo.core.persisted(1, 0);
    solo.core.persisted(2, 0);
    solo.holdsDisk = false;
    solo.campaign();
    solo.holdsDisk = true;
    solo.receive({ kind: 'vote-response', from: 2, term: 4, granted: true });
    expect(solo.core.status).toMatchObject({ role: 'leader', last: at(4, 3) });
    solo.receive({ kind: 'append-accepted', from: 2, term: 4, match: i(3) });
    // Entry 3 of the first batch was durable once, entry 3 of this term is not yet.
    expect(solo.core.status.commit).toBe(0);
    solo.release();
    expect(solo.core.status.commit).toBe(3);
  });

  test('a crash at any moment of a busy cluster loses nothing that was committed', () => {
    for (let seed = 0; seed < 30; seed++) {
      const network = Network.voters(3, {}, seed);
      network.diskMs = 5;
      network.elect();
      const acknowledged: string[] = [];
      for (let n = 0; n < 40; n++) {
        const leader = network.leader();
        if (leader !== null) network.propose(leader, `x${n}`);
        network.run(Math.floor(network.random() * 8));
        const holder = network.leader();
        if (holder !== null)
          acknowledged.push(...network.node(holder).applied.filter((e) => !acknowledged.includes(e)));
        if (n % 10 === 9) {
          const victim = 1 + Math.floor(network.random() * 3);
          network.crash(victim);
          network.run(50);
          network.restart(victim);
        }
      }
      const leader = network.elect();
      network.run(3_000);
      expect(network.node(leader).applied).toEqual(expect.arrayContaining(acknowledged));
    }
  });
});

describe('back-pressure', () => {
  test('a proposal that is too large, or one too many, is refused and nothing is appended', () => {
    const leader = Solo.leader(diskOf([1], THREE), { maxCommandBytes: 100, maxUncommittedBytes: 1_000 });
    expect(leader.propose('x'.repeat(101))).toEqual({ kind: 'too-large' });
    let appended = 0;
    while (leader.propose('x'.repeat(100)).kind === 'appended') appended += 1;
    expect(leader.propose('x'.repeat(100))).toEqual({ kind: 'busy' });
    expect(appended).toBeGreaterThan(5);
    expect(leader.core.status.last.index).toBe(2 + appended);
    leader.receive({ kind: 'append-accepted', from: 2, term: 2, match: i(2 + appended) });
    expect(leader.propose('x'.repeat(100)).kind).toBe('appended');
  });

  test('a peer that does not answer gets no more than its window', () => {
    const leader = Solo.leader(diskOf([1], THREE), { maxInflightMessages: 4, maxInflightBytes: 100_000 });
    leader.receive({ kind: 'append-accepted', from: 2, term: 2, match: i(2) });
    leader.forget();
    for (let n = 0; n < 20; n++) leader.propose(`x${n}`);
    const toTwo = leader.of('append-request').filter((m) => m.to === 2 && m.entries.length > 0);
    expect(toTwo).toHaveLength(4);
  });

  test('proposals of one turn share a message', () => {
    const leader = Solo.leader();
    leader.receive({ kind: 'append-accepted', from: 2, term: 2, match: i(2) });
    leader.forget();
    for (let n = 0; n < 50; n++) leader.core.propose(new Uint8Array(10), leader.now);
    leader.drain();
    const appends = leader.of('append-request').filter((m) => m.to === 2);
    expect(appends.map((m) => m.entries.length)).toEqual([50]);
    expect(leader.persisted).toHaveLength(1);
  });

  test('an entry larger than every bound is still sent', () => {
    const network = Network.voters(3, { maxAppendBytes: 100, maxProbeBytes: 100, maxInflightBytes: 100 });
    const leader = network.elect();
    network.propose(leader, 'x'.repeat(5_000));
    network.propose(leader, 'y');
    expect(
      network.runUntil(() => [1, 2, 3].every((n) => network.node(n).applied.some((e) => e.includes(':y')))),
    ).toBe(true);
  });
});

describe('growth', () => {
  test('from one host to three voters and a learner, and back to one', () => {
    const network = Network.bootstrap(4);
    network.elect(1);
    expect(network.change(1, [1], [2, 3, 4]).kind).toBe('appended');
    network.run(2_000);
    expect([2, 3, 4].map((n) => network.status(n).role)).toEqual(['learner', 'learner', 'learner']);
    expect(network.change(1, [1, 2, 3], [4]).kind).toBe('appended');
    network.run(2_000);
    for (const n of [1, 2, 3, 4]) {
      expect(network.status(n).configuration).toEqual(configuration([1, 2, 3], [4]));
      expect(network.node(n).applied).toEqual(network.node(1).applied);
    }
    expect(network.change(1, [2], []).kind).toBe('appended');
    const alone = (): boolean =>
      network.leader() === 2 && network.status(2).configuration.voters.length === 1;
    expect(network.runUntil(alone)).toBe(true);
    expect(network.runUntil(() => network.propose(2, 'x').kind === 'appended')).toBe(true);
  });

  test('a commit reaches every follower and learner at once, not with a heartbeat', () => {
    const network = Network.bootstrap(4);
    network.elect(1);
    network.change(1, [1], [2, 3, 4]);
    network.run(2_000);
    network.change(1, [1, 2, 3], [4]);
    network.run(2_010);
    const start = network.now;
    network.propose(1, 'lease');
    const everywhere = (): boolean =>
      [1, 2, 3, 4].every((n) => network.node(n).applied.at(-1)?.includes('lease') === true);
    expect(network.runUntil(everywhere)).toBe(true);
    expect(network.now - start).toBeLessThanOrEqual(2 * network.diskMs + 3);
  });
});

describe('a peer to which a way opens', () => {
  test('is spoken to at once by a leader, and by nobody else', () => {
    const network = Network.bootstrap(2);
    network.elect();
    network.isolate(2);
    network.change(1, [1], [2]);
    network.run(10_300);
    network.heal();
    const start = network.now;
    network.core(2).reachable(network.node(1).id, network.now);
    network.core(1).reachable(network.node(2).id, network.now);
    network.drain(1);
    network.drain(2);
    expect(network.runUntil(() => network.node(2).applied.length === 3)).toBe(true);
    expect(network.now - start).toBeLessThan(15);
  });

  test('that is no member is not', () => {
    const leader = Solo.leader();
    leader.forget();
    leader.core.reachable(id(9), leader.now);
    leader.drain();
    expect(leader.sent).toEqual([]);
  });
});

test('time that goes back is a broken invariant', () => {
  const solo = new Solo();
  solo.advance(10);
  expect(() => solo.core.tick(9)).toThrow('time went back');
});

test('what is not for this replica, or from itself, is dropped', () => {
  const solo = new Solo();
  const heartbeat = { kind: 'heartbeat-request', term: toTerm(9), commit: i(0), sequence: 1 } as const;
  const [one, two, three] = THREE.voters;
  if (one === undefined || two === undefined || three === undefined) throw new Error('three voters');
  solo.core.step({ ...heartbeat, from: two, to: three }, 0);
  solo.core.step({ ...heartbeat, from: one, to: one }, 0);
  expect(solo.core.status.term).toBe(1);
});
