/**
 * Do datagrams to one peer arrive? Judged by acknowledgements alone: what comes from the peer proves nothing about the
 * way to it, and networks do block one direction only. A path must prove itself before anything depends on it, and
 * again when its proof has grown old. Pure: times are passed in, milliseconds of a monotonic clock.
 *
 *   unproven --acknowledged--> ok --unacknowledged while the peer speaks--> blocked --acknowledged--> ok
 */
import {
  BLOCKED_PROBE_MS_MAX,
  BLOCKED_PROBE_MS_MIN,
  DATAGRAM_BLOCKED_MS,
  DATAGRAM_DOUBT_MS,
  DATAGRAM_PROBE_MS,
  DATAGRAM_PROOF_MS,
} from '../limits.ts';

/** `unproven`: no datagram was acknowledged yet, and not long enough missed to call it blocked. */
export type DatagramState = 'unproven' | 'ok' | 'blocked';

export class DatagramPath {
  readonly #random: () => number;
  #state: DatagramState = 'unproven';
  #provenMs = 0;
  /** The oldest datagram that wants an acknowledgement and has none, by its counter. */
  #unanswered: { readonly counter: number; readonly sinceMs: number } | null = null;
  #probedMs = 0;
  #probeAtMs = 0;
  #blockedProbeMs = BLOCKED_PROBE_MS_MIN;

  /** `random` is uniform in [0, 1): it spreads the probes of many peers. */
  constructor(random: () => number) {
    this.#random = random;
  }

  get state(): DatagramState {
    return this.#state;
  }

  /** New keys, which the peer may not have yet: counters start at 0, and the first question comes at `probeAtMs`. */
  renew(probeAtMs: number): void {
    if (this.#state === 'ok') this.#state = 'unproven';
    this.#unanswered = null;
    this.#probeAtMs = probeAtMs;
    this.#blockedProbeMs = BLOCKED_PROBE_MS_MIN;
  }

  /** Whether what is sent now may be expected to arrive. Otherwise it should take another way if there is one. */
  carries(nowMs: number): boolean {
    if (this.#state !== 'ok') return false;
    return this.#unanswered === null
      ? nowMs - this.#provenMs < DATAGRAM_PROOF_MS
      : nowMs - this.#unanswered.sinceMs < DATAGRAM_DOUBT_MS;
  }

  /** True when the next datagram should ask for an acknowledgement at once; it is taken to do so. */
  takeProbe(nowMs: number): boolean {
    if (this.carries(nowMs) || nowMs < this.#probeAtMs) return false;
    this.#probedMs = nowMs;
    this.#probeAtMs = nowMs + this.#probeIntervalMs();
    return true;
  }

  /** A datagram left that is worth an acknowledgement: bare acknowledgements are not, or they would never end. */
  sent(counter: number, nowMs: number): void {
    this.#unanswered ??= { counter, sinceMs: nowMs };
  }

  /** The peer has accepted a datagram with the counter `count` - 1. True when that ends a blocked state. */
  acknowledged(count: number, nowMs: number): boolean {
    if (this.#unanswered === null || count <= this.#unanswered.counter) return false;
    this.#unanswered = null;
    this.#provenMs = nowMs;
    this.#blockedProbeMs = BLOCKED_PROBE_MS_MIN;
    const wasBlocked = this.#state === 'blocked';
    this.#state = 'ok';
    return wasBlocked;
  }

  /** A datagram came: the network may have opened for ours as well. */
  heard(): void {
    this.#probeAtMs = Math.min(this.#probeAtMs, this.#probedMs + DATAGRAM_PROBE_MS);
  }

  /**
   * True when the path has become blocked. `heardMs` is when the peer last spoke in whatever way: a peer that says
   * nothing at all is silent, and not its datagrams blocked.
   */
  tick(nowMs: number, heardMs: number): boolean {
    if (this.#state === 'blocked' || this.#unanswered === null) return false;
    const { sinceMs } = this.#unanswered;
    if (nowMs - sinceMs < DATAGRAM_BLOCKED_MS || heardMs <= sinceMs) return false;
    this.#state = 'blocked';
    return true;
  }

  #probeIntervalMs(): number {
    if (this.#state !== 'blocked') return DATAGRAM_PROBE_MS;
    const intervalMs = this.#blockedProbeMs;
    this.#blockedProbeMs = Math.min(2 * intervalMs, BLOCKED_PROBE_MS_MAX);
    return intervalMs * (0.5 + this.#random() / 2);
  }
}
