import { expect, it } from 'vitest';
import type { PeerStatus, RaftStatus } from '../../../../raft/core/raft.ts';
import { toLogIndex, toTerm, ZERO_ENTRY } from '../../../../raft/core/types.ts';
import { PeerHealth, type PeerHealthReport } from '../../../../raft/runtime/peer-health.ts';
import { configuration, id } from '../core/network.ts';

const OPTIONS = { activeMs: 30, trailingEntriesMax: 5, stableMs: 100, deadMs: 1_000 };
const COMMIT = 20;
/** Another clock than the wall's: any start. */
const START = 5_000;

interface Seen extends Partial<PeerStatus> {
  readonly lastActive: number;
}

/** Voters 1 and 2, learner 3; this replica is 1. */
function status(peers: Readonly<Record<number, Seen>>, leaderSince: number | null = START): RaftStatus {
  const progress = new Map(
    Object.entries(peers).map(([peer, seen]): [ReturnType<typeof id>, PeerStatus] => [
      id(Number(peer)),
      { match: toLogIndex(COMMIT), state: 'replicate', ...seen },
    ]),
  );
  const current = configuration([1, 2], [3]);
  const role = leaderSince === null ? 'follower' : 'leader';
  return {
    id: id(1),
    role,
    term: toTerm(2),
    leader: id(1),
    commit: toLogIndex(COMMIT),
    applied: toLogIndex(COMMIT),
    last: ZERO_ENTRY,
    configuration: current,
    configurationIndex: toLogIndex(1),
    leaderSince,
    transferTarget: null,
    progress,
  };
}

function plain({ caughtUp, stable, dead }: PeerHealthReport): Record<string, readonly number[]> {
  return { caughtUp: [...caughtUp], stable: [...stable], dead: [...dead] };
}

const WELL = { caughtUp: [3], stable: [], dead: [] };
const NOBODY = { caughtUp: [], stable: [], dead: [] };

it('calls a learner stable that has kept up without a break', () => {
  const health = new PeerHealth(OPTIONS);
  const look = (at: number, seen: Seen) => plain(health.observe(status({ 3: seen }), at));
  expect(look(START, { lastActive: START })).toEqual(WELL);
  expect(look(START + 99, { lastActive: START + 99 })).toEqual(WELL);
  expect(look(START + 100, { lastActive: START + 99 })).toEqual({ ...WELL, stable: [3] });
  expect(look(START + 200, { lastActive: START + 100 })).toEqual(NOBODY);
  expect(look(START + 210, { lastActive: START + 205 })).toEqual(WELL);
});

it('counts only a learner that answers, replicates and trails by little', () => {
  const health = new PeerHealth(OPTIONS);
  const look = (seen: Partial<PeerStatus>) =>
    plain(health.observe(status({ 3: { lastActive: START, ...seen } }), START + 29));
  expect(look({ match: toLogIndex(COMMIT - 5) })).toEqual(WELL);
  expect(look({ match: toLogIndex(COMMIT - 6) })).toEqual(NOBODY);
  expect(look({ state: 'probe' })).toEqual(NOBODY);
  expect(look({ state: 'snapshot' })).toEqual(NOBODY);
  expect(look({ lastActive: START - 1 })).toEqual(NOBODY);
  expect(plain(health.observe(status({}), START))).toEqual(NOBODY);
});

it('calls a voter dead that has been silent for long, and never itself or a learner', () => {
  const health = new PeerHealth(OPTIONS);
  const peers = { 2: { lastActive: START }, 3: { lastActive: START } };
  expect(plain(health.observe(status(peers), START + 999))).toEqual(NOBODY);
  expect(plain(health.observe(status(peers), START + 1_000))).toEqual({ ...NOBODY, dead: [2] });
});

it('begins anew with every leadership, and knows nothing without one', () => {
  const health = new PeerHealth(OPTIONS);
  health.observe(status({ 3: { lastActive: START } }), START);
  expect(plain(health.observe(status({}, null), START + 100))).toEqual(NOBODY);
  const again = status({ 3: { lastActive: START + 200 } }, START + 200);
  expect(plain(health.observe(again, START + 200))).toEqual(WELL);
  const later = status({ 3: { lastActive: START + 290 } }, START + 290);
  expect(plain(health.observe(later, START + 300))).toEqual(WELL);
});
