/**
 * The datagram keys in force: for each peer the one set that is sent with, and every set that is still accepted. A set
 * outlives the connection that it came from, until its lifetime ends or its replacement has been there for the grace.
 */
import { randomInt } from 'node:crypto';
import type { ReplicaId } from '../core/types.ts';
import { KEY_LIFETIME_MS, REKEY_MS, REPLACED_GRACE_MS } from '../limits.ts';
import type { DatagramKeys, KeyId } from './keys.ts';

interface Held {
  readonly peer: ReplicaId;
  readonly keys: DatagramKeys;
  expiresMs: number;
}

interface Current extends Held {
  readonly renewAtMs: number;
}

/** Of one peer; a peer that reconnects in a loop must not fill the table. */
const HELD_SETS_MAX = 4;

export class KeyTable {
  readonly #held = new Map<KeyId, Held>();
  readonly #current = new Map<ReplicaId, Current>();
  readonly #rekeyMs: number;

  constructor(rekeyMs: number = REKEY_MS) {
    this.#rekeyMs = rekeyMs;
  }

  /** `keys` are sent with from now on, those before are accepted for the grace. */
  install(peer: ReplicaId, keys: DatagramKeys, nowMs: number): void {
    const replaced = this.#current.get(peer);
    if (replaced !== undefined) replaced.expiresMs = Math.min(replaced.expiresMs, nowMs + REPLACED_GRACE_MS);
    // Spread, so that hundreds of peers that came at once do not shake hands at once.
    const renewAtMs = nowMs + this.#rekeyMs - randomInt(Math.ceil(this.#rekeyMs / 10));
    const current = { peer, keys, expiresMs: nowMs + KEY_LIFETIME_MS, renewAtMs };
    this.#hold(current);
    this.#current.set(peer, current);
  }

  /** `keys` are accepted for the grace and never sent with: of a session that lost against another one. */
  accept(peer: ReplicaId, keys: DatagramKeys, nowMs: number): void {
    this.#hold({ peer, keys, expiresMs: nowMs + REPLACED_GRACE_MS });
  }

  /** What to send with. */
  outbound(peer: ReplicaId, nowMs: number): DatagramKeys | null {
    const current = this.#current.get(peer);
    return current === undefined || nowMs >= current.expiresMs ? null : current.keys;
  }

  find(id: KeyId, nowMs: number): { readonly peer: ReplicaId; readonly keys: DatagramKeys } | null {
    const held = this.#held.get(id);
    return held === undefined || nowMs >= held.expiresMs ? null : held;
  }

  /** Time for a new handshake. */
  isRenewalDue(peer: ReplicaId, nowMs: number): boolean {
    const current = this.#current.get(peer);
    return current !== undefined && (nowMs >= current.renewAtMs || current.keys.isWorn);
  }

  /** At once: the peer is none any more. */
  forget(peer: ReplicaId): void {
    this.#current.delete(peer);
    for (const [id, held] of this.#held) if (held.peer === peer) this.#held.delete(id);
  }

  sweep(nowMs: number): void {
    for (const [id, held] of this.#held) if (nowMs >= held.expiresMs) this.#held.delete(id);
    for (const [peer, current] of this.#current) if (nowMs >= current.expiresMs) this.#current.delete(peer);
  }

  #hold(entry: Held): void {
    const others = [...this.#held.values()].filter(({ peer }) => peer === entry.peer);
    const [oldest] = others.filter(({ keys }) => keys !== this.#current.get(entry.peer)?.keys);
    if (others.length >= HELD_SETS_MAX && oldest !== undefined) this.#held.delete(oldest.keys.id);
    this.#held.set(entry.keys.id, entry);
  }
}
