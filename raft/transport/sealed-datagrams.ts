/**
 * The datagrams of one replica: which keys they are sealed with, where they go, what shares one, and whether they
 * arrive. Owns the UDP socket and, for each peer, its keys, its address and its path. It knows no sessions: they bring
 * the keys, and whoever sends decides what to do with a message that no datagram can carry.
 *
 * Messages to one peer that leave in the same turn of the event loop share datagrams. Each datagram acknowledges what
 * came under its keys, so that two sides that talk need no others to know that they hear each other.
 */
import { randomInt } from 'node:crypto';
import type { ReplicaId } from '../core/types.ts';
import { DATAGRAM_PROBE_MS } from '../limits.ts';
import { DecodeError } from '../storage/bytes.ts';
import type { TransportLog } from './acceptor.ts';
import { type DatagramAddress, DatagramSocket } from './datagram.ts';
import { DatagramPath, type DatagramState } from './datagram-path.ts';
import { KeyTable } from './key-table.ts';
import { type DatagramKeys, keyIdOf } from './keys.ts';
import { decodePacket, encodePacket, MAX_PACKED_BYTES, takePacket } from './packet.ts';

/** What is between us and one peer. */
interface Lane {
  readonly peer: ReplicaId;
  readonly path: DatagramPath;
  address: DatagramAddress | null;
  heardMs: number | null;
  /** Messages of this turn. */
  queue: Uint8Array[];
  /** Of a datagram that asked for an answer. */
  askedWith: DatagramKeys | null;
}

export interface LaneStatus {
  readonly datagrams: DatagramState;
  readonly address: DatagramAddress | null;
  readonly heardMs: number | null;
}

export interface SealedDatagramsOptions {
  readonly rekeyMs: number | undefined;
  readonly log: TransportLog;
  /** The last write that is durable here. */
  readonly writeSequence: () => number;
  /** Where the disk of a peer is. */
  readonly onSeen: (peer: ReplicaId, writeSequence: number) => void;
  /** May throw DecodeError: then nothing more of that datagram is delivered. */
  readonly onMessage: (peer: ReplicaId, message: Uint8Array) => void;
}

export class SealedDatagrams {
  readonly #options: SealedDatagramsOptions;
  readonly #socket = new DatagramSocket();
  readonly #keys: KeyTable;
  readonly #lanes = new Map<ReplicaId, Lane>();
  /** To be flushed at the end of this turn. */
  readonly #due = new Set<Lane>();

  constructor(options: SealedDatagramsOptions) {
    this.#options = options;
    this.#keys = new KeyTable(options.rekeyMs);
    this.#socket.onFrame = (frame, from) => this.#receive(frame, from);
  }

  /** Rejects with the errno of the operating system. */
  bind(host: string, port: number): Promise<void> {
    return this.#socket.bind(host, port);
  }

  async close(): Promise<void> {
    this.#lanes.clear();
    await this.#socket.close();
  }

  status(peer: ReplicaId): LaneStatus {
    const lane = this.#lanes.get(peer);
    return {
      datagrams: lane?.path.state ?? 'unproven',
      address: lane?.address ?? null,
      heardMs: lane?.heardMs ?? null,
    };
  }

  /** `keys` are sent with from now on. Who does not know that the peer has them already lets it speak first. */
  install(
    peer: ReplicaId,
    keys: DatagramKeys,
    address: DatagramAddress | null,
    { peerHasThem }: { readonly peerHasThem: boolean },
  ): void {
    const nowMs = performance.now();
    const lane = this.#laneOf(peer);
    lane.address = address;
    this.#keys.install(peer, keys, nowMs);
    lane.path.renew(peerHasThem ? nowMs : nowMs + DATAGRAM_PROBE_MS);
    this.#probe(lane, nowMs);
  }

  /** `keys` are accepted for a moment and never sent with. */
  accept(peer: ReplicaId, keys: DatagramKeys): void {
    this.#laneOf(peer);
    this.#keys.accept(peer, keys, performance.now());
  }

  isRenewalDue(peer: ReplicaId): boolean {
    return this.#keys.isRenewalDue(peer, performance.now());
  }

  /** At once: neither its datagrams nor ours to it are let through. */
  forget(peer: ReplicaId): void {
    this.#keys.forget(peer);
    this.#lanes.delete(peer);
  }

  /** Whether a message is small enough. */
  fits(message: Uint8Array): boolean {
    return message.length <= MAX_PACKED_BYTES;
  }

  /** Whether a datagram may be expected to arrive. A path that has to prove it is asked to. */
  carries(peer: ReplicaId, nowMs: number): boolean {
    const lane = this.#lanes.get(peer);
    if (lane === undefined) return false;
    if (lane.path.carries(nowMs)) return true;
    this.#probe(lane, nowMs);
    return false;
  }

  /** At the end of this turn, whether it may be expected to arrive or not. False without keys or an address. */
  send(peer: ReplicaId, message: Uint8Array, nowMs: number): boolean {
    const lane = this.#lanes.get(peer);
    if (lane?.address == null || this.#keys.outbound(peer, nowMs) === null) return false;
    lane.queue.push(message);
    if (this.#due.size === 0) queueMicrotask(() => this.#flush());
    this.#due.add(lane);
    return true;
  }

  /** Judges the paths. `spokeMs` tells when a peer last spoke over its session, null without one. */
  tick(spokeMs: (peer: ReplicaId) => number | null): void {
    const nowMs = performance.now();
    this.#keys.sweep(nowMs);
    for (const lane of this.#lanes.values()) {
      const spoke = spokeMs(lane.peer);
      if (spoke === null) continue;
      if (lane.path.tick(nowMs, Math.max(spoke, lane.heardMs ?? 0))) this.#report('datagrams-blocked', lane);
      this.#probe(lane, nowMs);
    }
  }

  #laneOf(peer: ReplicaId): Lane {
    const path = new DatagramPath(() => randomInt(1_000) / 1_000);
    const lane = this.#lanes.get(peer) ?? {
      peer,
      path,
      address: null,
      heardMs: null,
      queue: [],
      askedWith: null,
    };
    this.#lanes.set(peer, lane);
    return lane;
  }

  #report(event: 'datagrams-blocked' | 'datagrams-restored', { peer, address }: Lane): void {
    this.#options.log(event, { replica: peer, address: address?.address, port: address?.port });
  }

  /** Asks, when it is time to. */
  #probe(lane: Lane, nowMs: number): void {
    const keys = this.#keys.outbound(lane.peer, nowMs);
    if (keys !== null && lane.address !== null && lane.path.takeProbe(nowMs))
      this.#transmit(lane, keys, [], true, nowMs);
  }

  #flush(): void {
    const nowMs = performance.now();
    for (const lane of this.#due) {
      const keys = this.#keys.outbound(lane.peer, nowMs);
      let rest = lane.queue;
      lane.queue = [];
      while (rest.length > 0 && keys !== null) {
        const count = takePacket(rest);
        this.#transmit(lane, keys, rest.slice(0, count), lane.path.takeProbe(nowMs), nowMs);
        rest = rest.slice(count);
      }
    }
    this.#due.clear();
  }

  #transmit(
    lane: Lane,
    keys: DatagramKeys,
    messages: readonly Uint8Array[],
    asks: boolean,
    nowMs: number,
  ): void {
    if (lane.askedWith === keys) lane.askedWith = null;
    const counter = keys.sealedCount;
    const acknowledged = keys.acceptedCount;
    const writeSequence = this.#options.writeSequence();
    const frame = keys.seal(encodePacket({ asks, acknowledged, writeSequence, messages }));
    if (frame === null || lane.address === null) return;
    if (asks || messages.length > 0) lane.path.sent(counter, nowMs);
    this.#socket.send(frame, lane.address);
  }

  #receive(frame: Buffer, from: DatagramAddress): void {
    const id = keyIdOf(frame);
    const nowMs = performance.now();
    const held = id === undefined ? null : this.#keys.find(id, nowMs);
    const lane = held === null ? undefined : this.#lanes.get(held.peer);
    const plaintext = held?.keys.open(frame) ?? null;
    if (held === null || lane === undefined || plaintext === null) return;
    lane.address = from;
    lane.heardMs = nowMs;
    try {
      const { asks, acknowledged, writeSequence, messages } = decodePacket(plaintext);
      this.#options.onSeen(lane.peer, writeSequence);
      if (held.keys === this.#keys.outbound(lane.peer, nowMs)) this.#judge(lane, acknowledged, nowMs);
      if (asks) this.#answerSoon(lane, held.keys);
      for (const message of messages) this.#options.onMessage(lane.peer, message);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#options.log('datagram-malformed', { replica: lane.peer, error });
    }
  }

  #judge(lane: Lane, acknowledged: number, nowMs: number): void {
    lane.path.heard();
    if (lane.path.acknowledged(acknowledged, nowMs)) this.#report('datagrams-restored', lane);
  }

  /** Under the keys that were asked with; most of the time something else has acknowledged by then. */
  #answerSoon(lane: Lane, keys: DatagramKeys): void {
    lane.askedWith = keys;
    setImmediate(() => {
      if (lane.askedWith !== keys || this.#lanes.get(lane.peer) !== lane) return;
      const nowMs = performance.now();
      const isCurrent = keys === this.#keys.outbound(lane.peer, nowMs);
      this.#transmit(lane, keys, [], isCurrent && lane.path.takeProbe(nowMs), nowMs);
    });
  }
}
