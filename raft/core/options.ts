/**
 * The settings of one replica, with the defaults of limits.ts. There is no switch for a safety rule: pre-vote,
 * check-quorum and step-down on removal are always on. All durations are milliseconds of the injected clock.
 */
import {
  ELECTION_TIMEOUT_MS_MAX,
  ELECTION_TIMEOUT_MS_MIN,
  HEARTBEAT_MS,
  LAGGING_ENTRIES,
  LEARNER_HEARTBEAT_MS,
  MAX_APPEND_BYTES,
  MAX_COMMAND_BYTES,
  MAX_DATAGRAM_BYTES,
  MAX_INFLIGHT_BYTES,
  MAX_INFLIGHT_MESSAGES,
  MAX_SNAPSHOT_BYTES,
  MAX_SNAPSHOT_INFLIGHT_BYTES,
  MAX_UNCOMMITTED_BYTES,
  RETRANSMIT_MS_INITIAL,
  RETRANSMIT_MS_MIN,
  SNAPSHOT_CHUNK_BYTES,
  SNAPSHOT_RETRY_MS,
  TRAILING_ENTRIES,
} from '../limits.ts';

export interface RaftOptions {
  readonly heartbeatMs: number;
  readonly learnerHeartbeatMs: number;
  /** A follower that heard its leader within this time refuses votes; its own timeout is never shorter. */
  readonly electionTimeoutMsMin: number;
  /** Also how long a leader stays one without a quorum that answers. */
  readonly electionTimeoutMsMax: number;
  readonly retransmitMsMin: number;
  readonly retransmitMsInitial: number;
  readonly snapshotRetryMs: number;
  readonly snapshotChunkBytes: number;
  readonly maxSnapshotInflightBytes: number;
  /** A larger one is neither taken nor accepted. */
  readonly maxSnapshotBytes: number;
  /** Entries in an append to a peer whose position is not known yet. */
  readonly maxProbeBytes: number;
  readonly maxAppendBytes: number;
  readonly maxInflightBytes: number;
  readonly maxInflightMessages: number;
  readonly maxCommandBytes: number;
  readonly maxUncommittedBytes: number;
  /** Entries kept below a snapshot for followers that are slightly behind. */
  readonly trailingEntries: number;
  /** Entries kept below a snapshot at most, for followers that are being replicated to. */
  readonly laggingEntries: number;
}

const DEFAULTS: RaftOptions = {
  heartbeatMs: HEARTBEAT_MS,
  learnerHeartbeatMs: LEARNER_HEARTBEAT_MS,
  electionTimeoutMsMin: ELECTION_TIMEOUT_MS_MIN,
  electionTimeoutMsMax: ELECTION_TIMEOUT_MS_MAX,
  retransmitMsMin: RETRANSMIT_MS_MIN,
  retransmitMsInitial: RETRANSMIT_MS_INITIAL,
  snapshotRetryMs: SNAPSHOT_RETRY_MS,
  snapshotChunkBytes: SNAPSHOT_CHUNK_BYTES,
  maxSnapshotInflightBytes: MAX_SNAPSHOT_INFLIGHT_BYTES,
  maxSnapshotBytes: MAX_SNAPSHOT_BYTES,
  maxProbeBytes: MAX_DATAGRAM_BYTES,
  maxAppendBytes: MAX_APPEND_BYTES,
  maxInflightBytes: MAX_INFLIGHT_BYTES,
  maxInflightMessages: MAX_INFLIGHT_MESSAGES,
  maxCommandBytes: MAX_COMMAND_BYTES,
  maxUncommittedBytes: MAX_UNCOMMITTED_BYTES,
  trailingEntries: TRAILING_ENTRIES,
  laggingEntries: LAGGING_ENTRIES,
};

/** Defaults with `overrides`. Throws a RangeError that names the setting and what it must be. */
export function raftOptions(overrides: Partial<RaftOptions> = {}): RaftOptions {
  const options = { ...DEFAULTS, ...overrides };
  for (const [name, value] of Object.entries(options)) {
    const least = name === 'trailingEntries' || name === 'laggingEntries' ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(`raft option ${name} must be an integer of at least ${least}, not ${value}`);
    }
  }
  if (options.electionTimeoutMsMax <= options.electionTimeoutMsMin) {
    throw new RangeError('raft option electionTimeoutMsMax must be more than electionTimeoutMsMin');
  }
  if (options.maxUncommittedBytes < options.maxCommandBytes) {
    throw new RangeError('raft option maxUncommittedBytes must be at least maxCommandBytes');
  }
  if (options.laggingEntries < options.trailingEntries) {
    throw new RangeError('raft option laggingEntries must be at least trailingEntries');
  }
  // With less room than two heartbeats one lost datagram would start an election.
  if (options.electionTimeoutMsMin < 2 * options.heartbeatMs) {
    throw new RangeError('raft option electionTimeoutMsMin must be at least twice heartbeatMs');
  }
  return options;
}
