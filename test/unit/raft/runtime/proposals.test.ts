import { describe, expect, it } from 'vitest';
import { type Entry, type EntryId, toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { Proposals } from '../../../../raft/runtime/proposals.ts';

const voters = [toReplicaId(1)];

function at(index: number, term: number): EntryId {
  return { index: toLogIndex(index), term: toTerm(term) };
}

function configuration(id: EntryId, outgoing: readonly number[]): Entry {
  return {
    kind: 'configuration',
    ...id,
    configuration: { voters, outgoing: outgoing.map(toReplicaId), learners: [] },
  };
}

describe('proposals', () => {
  it('answer with the result of the entry that was waited for', async () => {
    const proposals = new Proposals<string>();
    const fate = proposals.command(at(5, 2));
    const entry = { kind: 'command', ...at(5, 2), payload: new Uint8Array() } as const;
    proposals.commandApplied(entry, 'done');
    proposals.applied(entry);
    expect(await fate).toEqual({ kind: 'applied', index: 5, result: 'done' });
  });

  it('answer `lost` when another entry stands in its place', async () => {
    const proposals = new Proposals<string>();
    const fates = [proposals.command(at(5, 2)), proposals.command(at(6, 2)), proposals.change(at(7, 2))];
    const entry = { kind: 'command', ...at(5, 3), payload: new Uint8Array() } as const;
    proposals.commandApplied(entry, 'of somebody else');
    proposals.applied(entry);
    proposals.applied({ kind: 'noop', ...at(6, 3) });
    proposals.applied(configuration(at(7, 3), []));
    expect(await Promise.all(fates)).toEqual(fates.map(() => ({ kind: 'lost' })));
  });

  it('answer `lost` to the earlier of two that waited for one place', async () => {
    const proposals = new Proposals<string>();
    const earlier = proposals.command(at(5, 2));
    const later = proposals.command(at(5, 4));
    expect(await earlier).toEqual({ kind: 'lost' });
    proposals.loseUpTo(toTerm(3));
    const entry = { kind: 'command', ...at(5, 4), payload: new Uint8Array() } as const;
    proposals.commandApplied(entry, 'done');
    expect(await later).toMatchObject({ kind: 'applied' });
  });

  it('call a change applied when the configuration is not joint any more, whoever ended it', async () => {
    const proposals = new Proposals<string>();
    const fate = proposals.change(at(5, 2));
    proposals.applied(configuration(at(5, 2), [1]));
    proposals.applied(configuration(at(6, 3), []));
    expect(await fate).toMatchObject({ kind: 'applied', index: 6 });
  });

  it('lose what waits for a term that is over, joint phases included', async () => {
    const proposals = new Proposals<string>();
    const fates = [proposals.command(at(5, 2)), proposals.change(at(6, 2)), proposals.change(at(4, 2))];
    proposals.applied(configuration(at(4, 2), [1]));
    proposals.loseUpTo(toTerm(2));
    expect(await Promise.all(fates)).toEqual(fates.map(() => ({ kind: 'lost' })));
  });
});
