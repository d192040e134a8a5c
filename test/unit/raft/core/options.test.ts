import { expect, test } from 'vitest';
import { raftOptions } from '../../../../raft/core/options.ts';
import { HEARTBEAT_MS } from '../../../../raft/limits.ts';

test('the defaults are those of the limits, and each can be replaced', () => {
  expect(raftOptions().heartbeatMs).toBe(HEARTBEAT_MS);
  expect(raftOptions({ heartbeatMs: 10 }).heartbeatMs).toBe(10);
});

test.each([
  [{ heartbeatMs: 0 }, 'heartbeatMs must be an integer of at least 1, not 0'],
  [{ maxAppendBytes: 1.5 }, 'maxAppendBytes must be an integer'],
  [{ trailingEntries: -1 }, 'trailingEntries must be an integer of at least 0'],
  [{ electionTimeoutMsMin: 2_000, electionTimeoutMsMax: 2_000 }, 'more than electionTimeoutMsMin'],
  [{ heartbeatMs: 600 }, 'at least twice heartbeatMs'],
  [{ maxCommandBytes: 100, maxUncommittedBytes: 99 }, 'at least maxCommandBytes'],
  [{ trailingEntries: 10, laggingEntries: 9 }, 'at least trailingEntries'],
])('%j is refused', (overrides, reason) => {
  expect(() => raftOptions(overrides)).toThrow(reason);
});
