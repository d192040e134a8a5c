/** What a leader answers to who wants a proof of its leadership, or another leader. */
import { describe, expect, it } from 'vitest';
import { toLogIndex, toReplicaId } from '../../../raft/core/types.ts';
import type { ReadAnswer } from '../../../raft/runtime/reads.ts';
import type { TransferOutcome } from '../../../raft/runtime/transfers.ts';
import { Leadership, type LeadershipParts } from '../../../src/cluster/leadership.ts';

interface Given {
  readonly voters?: readonly number[];
  readonly connected?: readonly number[];
  readonly read?: ReadAnswer;
  readonly transfer?: TransferOutcome;
}

/** Replica 1 leads; replica n has the log up to 10 n. */
function leadership({ voters = [1, 2, 3], connected = [2, 3], read, transfer }: Given = {}): {
  readonly leadership: Leadership;
  readonly targets: readonly number[];
  readonly apply: (index: number) => void;
} {
  const targets: number[] = [];
  const listeners = new Set<(index: ReturnType<typeof toLogIndex>) => void>();
  const progress = new Map(voters.map((n) => [toReplicaId(n), { match: toLogIndex(10 * n) }]));
  const node = {
    status: () => ({
      id: toReplicaId(1),
      role: 'leader',
      applied: toLogIndex(7),
      configuration: { voters: voters.map(toReplicaId), outgoing: [], learners: [] },
      progress,
    }),
    readIndex: async () => read ?? { kind: 'ready', index: toLogIndex(7) },
    transferLeadership: async (target: number) => {
      targets.push(target);
      return transfer ?? { kind: 'transferred' };
    },
    onApplied: (listener: (index: ReturnType<typeof toLogIndex>) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  } as unknown as LeadershipParts['node'];
  const isConnected = (replica: number): boolean => connected.includes(replica);
  return {
    leadership: new Leadership({ node, isConnected, nameOf: (replica) => `host-${replica}` }),
    targets,
    apply: (index) => {
      for (const listener of [...listeners]) listener(toLogIndex(index));
    },
  };
}

describe('a read', () => {
  it('is told how far, or that it has to ask again', async () => {
    expect(await leadership().leadership.readIndex()).toEqual({ kind: 'read-index', index: 7 });
    expect(await leadership({ read: { kind: 'lost' } }).leadership.readIndex()).toEqual({
      kind: 'uncertain',
    });
    const elsewhere = { kind: 'not-leader', leader: toReplicaId(2) } as const;
    expect(await leadership({ read: elsewhere }).leadership.readIndex()).toEqual(elsewhere);
  });

  it('waits until the log is applied that far', async () => {
    const given = leadership();
    expect(await given.leadership.appliedUpTo(7, AbortSignal.timeout(10_000))).toBe(true);
    const waiting = given.leadership.appliedUpTo(9, AbortSignal.timeout(10_000));
    given.apply(8);
    expect(await Promise.race([waiting, Promise.resolve('waits')])).toBe('waits');
    given.apply(9);
    expect(await waiting).toBe(true);
    expect(await given.leadership.appliedUpTo(9, AbortSignal.timeout(10))).toBe(false);
  });
});

describe('leadership', () => {
  it('goes to the one that is named, else to the connected voter that has most of the log', async () => {
    const named = leadership();
    expect(await named.leadership.handOver(toReplicaId(2))).toEqual({ kind: 'transferred', leader: 2 });
    const nearest = leadership({ voters: [1, 2, 3, 4], connected: [2, 3, 9] });
    expect(await nearest.leadership.handOver(null)).toEqual({ kind: 'transferred', leader: 3 });
    expect([...named.targets, ...nearest.targets]).toEqual([2, 3]);
  });

  it('stays where it is asked to go to', async () => {
    const given = leadership();
    expect(await given.leadership.handOver(toReplicaId(1))).toEqual({ kind: 'transferred', leader: 1 });
    expect(given.targets).toEqual([]);
  });

  it('stays with a sentence where nobody takes it', async () => {
    const code = async (given: Given, target: number | null = null): Promise<unknown> => {
      const answer = await leadership(given).leadership.handOver(
        target === null ? null : toReplicaId(target),
      );
      return answer.kind === 'refused' ? answer.refusal : answer.kind;
    };
    expect(await code({ connected: [] })).toMatchObject({ code: 'no-other-voter', exitCode: 1 });
    expect(await code({ transfer: { kind: 'timed-out' } })).toMatchObject({
      code: 'transfer-timed-out',
      exitCode: 8,
      text: expect.stringContaining('host-3'),
    });
    const learner: Given = { transfer: { kind: 'invalid', reason: 'replica 4 is no voter' } };
    expect(await code(learner, 4)).toMatchObject({ code: 'cannot-lead', exitCode: 1 });
    expect(await code({ transfer: { kind: 'in-progress' } })).toBe('uncertain');
    expect(await code({ transfer: { kind: 'not-leader', leader: null } })).toBe('not-leader');
  });
});
