import { describe, expect, it } from 'vitest';
import type { Persist } from '../../../../raft/core/effects.ts';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { SimulatedDisk } from '../../../../raft/sim/disk.ts';
import { Random } from '../../../../raft/sim/random.ts';
import { Timeline } from '../../../../raft/sim/timeline.ts';
import { MemoryStorage } from '../../../../raft/storage/memory.ts';
import { batch, command, EMPTY } from '../storage/contract.ts';

function makeDisk(seed = 1): { disk: SimulatedDisk; timeline: Timeline; durable: number[] } {
  const timeline = new Timeline();
  const durable: number[] = [];
  const disk = new SimulatedDisk(toReplicaId(1), new MemoryStorage(EMPTY), {
    timeline,
    random: new Random(seed),
    parameters: { hasDatabase: true, writeMsMin: 5, writeMsMax: 10, stallProbability: 0, stallMs: 0 },
    durable: (batches) => durable.push(...batches.map(({ seq }) => seq)),
  });
  return { disk, timeline, durable };
}

function persist(seq: number): Persist {
  return { ...batch({ term: 1, entries: [command(seq, 1)] }), seq, thenSend: [] };
}

describe('SimulatedDisk', () => {
  it('confirms in order, and only what is durable', () => {
    const { disk, timeline, durable } = makeDisk();
    const confirmed: number[] = [];
    for (const seq of [1, 2, 3]) {
      disk.write(persist(seq), () => {
        expect(durable).toContain(seq);
        confirmed.push(seq);
      });
    }
    timeline.runUntil(4);
    expect(confirmed).toEqual([]);
    timeline.runUntil(100);
    expect(confirmed).toEqual([1, 2, 3]);
    expect(disk.storage.last.index).toBe(3);
  });

  it('keeps or loses the write under way in a crash, as a whole, and everything behind it is lost', () => {
    const ends = Array.from({ length: 40 }, (_, seed) => {
      const { disk, timeline } = makeDisk(seed);
      const both = { ...batch({ term: 1, entries: [command(1, 1), command(2, 1)] }), seq: 1, thenSend: [] };
      disk.write(both, () => expect.unreachable('confirmed after the crash'));
      disk.write(persist(3), () => expect.unreachable('confirmed after the crash'));
      timeline.runUntil(2);
      disk.crash(true);
      timeline.runUntil(100);
      return disk.storage.last.index;
    });
    expect(new Set(ends)).toEqual(new Set([0, 2]));
  });

  it('takes writes again after a crash', () => {
    const { disk, timeline } = makeDisk();
    disk.crash(true);
    disk.write(persist(1), () => {});
    timeline.runUntil(100);
    expect(disk.storage.last.index).toBe(1);
  });

  it('that is lost cannot be read', () => {
    const { disk } = makeDisk();
    disk.lose();
    expect(disk.lost).toBe(true);
    expect(() => disk.storage.recover()).toThrow('gone');
  });

  /** Some writes, and a crash. */
  function written(seed: number): SimulatedDisk {
    const { disk, timeline } = makeDisk(seed);
    for (const seq of [1, 2, 3]) disk.write(persist(seq), () => {});
    timeline.runUntil(100);
    disk.crash(true);
    return disk;
  }

  it('gives back what was written, and says when it does not', () => {
    const disk = written(1);
    expect(disk.load()?.entries).toHaveLength(3);
    disk.storage.commit(batch({ term: 1, entries: [command(4, 1)] }));
    expect(() => disk.load()).toThrow('a disk gives back what was written');
  });

  it('notices that its newest writes are gone', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const disk = written(seed);
      expect(disk.loseTail()).toBe(true);
      expect(disk.isSound).toBe(false);
      expect(disk.load()).toBeNull();
    }
  });

  it('notices every bit that matters', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const disk = written(seed);
      expect(disk.flipBit()).toBe(true);
      expect([null, 3]).toContain(disk.load()?.entries.length ?? null);
    }
  });

  it('does not notice that all of it was put back to an older copy', () => {
    const { disk, timeline } = makeDisk();
    disk.write(persist(1), () => {});
    timeline.runUntil(100);
    disk.copy();
    disk.write(persist(2), () => {});
    timeline.runUntil(200);
    disk.crash(true);
    const before = disk.position;
    expect(disk.rollBack()).toBe(true);
    expect(disk.load()?.entries).toHaveLength(1);
    expect(disk.position.writeSequence).toBeLessThan(before.writeSequence);
  });

  it('that nobody broke survives every power cut', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { disk, timeline } = makeDisk(seed);
      disk.write(persist(1), () => {});
      timeline.runUntil(100);
      disk.write(persist(2), () => {});
      timeline.runUntil(102);
      disk.crash(false);
      expect(disk.load()?.entries.length).toBeGreaterThanOrEqual(1);
    }
  });
});
