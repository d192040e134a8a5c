/**
 * Every bound and every duration of the consensus library in one place, each with its reason. Durations in ms.
 */

/** A leader speaks to each voter this often. */
export const HEARTBEAT_MS = 250;
/** Election timeouts are uniform in [min, max). Four lost heartbeats in a row start an election. */
export const ELECTION_TIMEOUT_MS_MIN = 1_000;
export const ELECTION_TIMEOUT_MS_MAX = 2_000;
/** Learners vote for nothing, so their heartbeat only carries the commit index and liveness. */
export const LEARNER_HEARTBEAT_MS = 1_000;

/** QUIC's minimum: fits every path without IP fragmentation, vxlan and PPPoE included. UDP payload bytes. */
export const MAX_DATAGRAM_BYTES = 1_200;
/** A command larger than this is refused when proposed. */
export const MAX_COMMAND_BYTES: number = 1 << 20;
/** One frame on a TLS stream: a snapshot must fit. */
export const MAX_FRAME_BYTES: number = 16 << 20;
/** Append bytes under way to one peer that are not acknowledged yet; what the default receive buffer holds. */
export const MAX_INFLIGHT_BYTES: number = 256 << 10;
export const MAX_INFLIGHT_MESSAGES = 128;
/** Entries in one append request, before it is split into datagrams. */
export const MAX_APPEND_BYTES: number = 64 << 10;
/** Proposals that are not committed yet; above this the leader answers `busy`. */
export const MAX_UNCOMMITTED_BYTES: number = 16 << 20;
/** A snapshot is taken after this many applied entries; as many stay for followers that are slightly behind. */
export const SNAPSHOT_ENTRIES = 1_000;
export const TRAILING_ENTRIES = 500;
