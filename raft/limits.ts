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
/** Voters, outgoing voters and learners of one configuration together: eight times the fleet the design is sized for. */
export const MAX_CONFIGURATION_REPLICAS = 4_096;
/** One frame on a TLS stream: the largest append must fit. */
export const MAX_FRAME_BYTES: number = 16 << 20;
/** The state machine is in memory, and so are its snapshot and the one that is being received. */
export const MAX_SNAPSHOT_BYTES: number = 256 << 20;
/** Small enough that a heartbeat on the same stream does not wait for long, large enough to fill a fast one. */
export const SNAPSHOT_CHUNK_BYTES: number = 256 << 10;
export const MAX_SNAPSHOT_INFLIGHT_BYTES: number = 1 << 20;
/** Append bytes under way to one peer that are not acknowledged yet; what the default receive buffer holds. */
export const MAX_INFLIGHT_BYTES: number = 256 << 10;
export const MAX_INFLIGHT_MESSAGES = 128;
/** Entries in one append request, before it is split into datagrams. */
export const MAX_APPEND_BYTES: number = 64 << 10;
/** Proposals that are not committed yet; above this the leader answers `busy`. */
export const MAX_UNCOMMITTED_BYTES: number = 16 << 20;
/** A snapshot is taken after this many applied entries; as many stay for followers that are slightly behind. */
export const SNAPSHOT_ENTRIES = 1_000;
/** The same for their payloads: the log is held in memory. */
export const SNAPSHOT_BYTES: number = 16 << 20;
export const TRAILING_ENTRIES = 500;

/** Bounds of the transport. */

/** How far back a datagram may arrive out of order before it counts as a replay. A power of two. */
export const REPLAY_WINDOW_BITS = 4_096;
/** Datagram keys are renewed by a new TLS handshake after this time, or when half their counters are used. */
export const REKEY_MS: number = 60 * 60 * 1_000;
/** Without a new handshake (TCP is blocked, UDP is not) keys work this much longer, then datagrams stop. */
export const KEY_LIFETIME_MS: number = 2 * REKEY_MS;
/** Far below the limits of AES-256-GCM with counter nonces, and a count of them fits 32 bits. */
export const KEY_DATAGRAMS_MAX: number = 2 ** 32 - 1;
/** Replaced keys and replaced sessions work on for what is still under way. */
export const REPLACED_GRACE_MS = 10_000;
/** Datagrams that nobody has acknowledged for this long are asked about, and the stream carries what comes next. */
export const DATAGRAM_DOUBT_MS = 500;
/** Unacknowledged for this long while the peer speaks over the stream: datagrams to it are blocked. */
export const DATAGRAM_BLOCKED_MS = 1_000;
/** An acknowledgement proves that datagrams arrive for this long; a quiet pair asks again when it ends. */
export const DATAGRAM_PROOF_MS = 10_000;
/** Between two questions; where datagrams are blocked it doubles from MIN to MAX. */
export const DATAGRAM_PROBE_MS = 200;
export const BLOCKED_PROBE_MS_MIN = 1_000;
export const BLOCKED_PROBE_MS_MAX = 8_000;
/** Asked of the kernel; it grants what net.core.rmem_max allows. Holds the bursts of a few hundred peers. */
export const RECEIVE_BUFFER_BYTES: number = 4 << 20;

/** From the TCP connection to the hello. */
export const HANDSHAKE_TIMEOUT_MS = 5_000;
/** Connections that have not said who they are. The oldest goes when one more comes: garbage cannot lock members out. */
export const UNPROVEN_CONNECTIONS_MAX = 64;
/** Sessions without a replica. When one more comes, the oldest that waits for no answer goes. */
export const ANONYMOUS_SESSIONS_MAX = 64;
export const ANONYMOUS_FRAME_BYTES_MAX: number = 64 << 10;
/** An anonymous session that asks nothing. */
export const ANONYMOUS_IDLE_MS = 30_000;
/** Requests of one caller that are being answered. Above it they fail. */
export const ANONYMOUS_REQUESTS_MAX = 4;
export const MEMBER_REQUESTS_MAX = 1_024;
/** How far peers were seen is reported at most this often: each report is a write. */
export const SEEN_MS = 1_000;
/** Bytes waiting in one session for a slow reader. Above it Raft messages are dropped and requests fail. */
export const SESSION_QUEUE_BYTES_MAX: number = 4 << 20;
/** The same for what is sent in pieces. The window of a snapshot fits, and once more what is sent again. */
export const SESSION_BULK_BYTES_MAX: number = 2 * MAX_SNAPSHOT_INFLIGHT_BYTES;
/** A silent session is asked for a sign of life after the first, and cut after the second. */
export const SESSION_PING_MS = 5_000;
export const SESSION_SILENCE_MS_MAX = 15_000;

/** The higher id of a pair waits this long for the lower one to dial. */
export const DIAL_DELAY_MS = 1_000;
export const DIAL_BACKOFF_MS_MIN = 50;
export const DIAL_BACKOFF_MS_MAX = 2_000;
/** After an append that only the stream could carry, the next ones follow it there, so that they arrive in order. */
export const STREAM_AFFINITY_MS = 100;
/** More than this behind the leader's snapshot, even a follower that keeps up gets the snapshot and not the log. */
export const LAGGING_ENTRIES = 10_000;

/** An append unanswered for the round trip plus its variance is sent again: never sooner than MIN (a timer's own
 *  jitter), INITIAL before the first measurement. */
export const RETRANSMIT_MS_MIN = 10;
export const RETRANSMIT_MS_INITIAL = 100;
/** Chunks go over a stream that loses nothing while it stands; when it breaks, its successor resumes them at once. */
export const SNAPSHOT_RETRY_MS = 10_000;

/** A commit index that no other write carries is written after this: a restart without a quorum knows it then. */
export const COMMIT_HINT_MS = 20;

/** Bounds of the autopilot. */

/** A learner answers a heartbeat every second; two may be lost. */
export const PEER_ACTIVE_MS = 3_000;
/** Consul's autopilot takes the same two. */
export const PEER_TRAILING_ENTRIES_MAX = 250;
export const PEER_STABLE_MS = 10_000;
/** Longer than a reboot, a failed disk check included: a maintenance window demotes nobody. */
export const PEER_DEAD_MS: number = 10 * 60 * 1_000;

/** The fence of a database is synced with each term or vote, else after this many writes or this long: what a lying disk
 *  and a power cut together may hide. */
export const FENCE_SYNC_WRITES = 64;
export const FENCE_SYNC_MS = 1_000;
/** Damaged databases that are kept for whoever wants to know; the oldest goes when one more comes. */
export const QUARANTINED_DATABASES_MAX = 3;
