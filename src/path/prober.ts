/**
 * Sends the probes that the path table asks for and tells it of the answers: sockets, timers and the monotonic clock,
 * and nothing of what it all means. An answer is believed when it comes from where the probe went to, with the
 * identifier, number, nonce and length that it left with; the rest is dropped without a word. What is there is read
 * before time passes for the table, so that a busy process does not take its own delay for loss.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { PROBE_MARK_DIRECT, PROBE_MARK_VXLAN } from '../dataplane/ownership.ts';
import { type Cidr, cidrBase, cidrFamily } from '../net/cidr.ts';
import { type Family, type Ip, ipFamily } from '../net/ip.ts';
import type { PathKind, PathTarget } from './candidate.ts';
import { decodeReply, encodeRequest, NONCE_BYTES, shortestEcho } from './echo.ts';
import { PathTable, type PeerPaths, type Probe } from './path-table.ts';
import { ProbeSocket, type ProbeSocketOptions } from './probe-socket.ts';

const MARKS: Readonly<Record<PathKind, number>> = { direct: PROBE_MARK_DIRECT, vxlan: PROBE_MARK_VXLAN };
/** Before another attempt to open a socket. */
const REOPEN_MS = 1_000;
/** Answers that are waited for: three seconds of probes, many times over. */
const EXPECTED_MAX = 1_000;

export type OpenProbeSocket = (options: ProbeSocketOptions) => ProbeSocket | null;

export interface ProberOptions {
  /** A choice, its reason or an MTU is not what it was. */
  readonly onChange: () => void;
  readonly open?: OpenProbeSocket;
}

/** The socket of one family and kind of path. */
interface Channel {
  readonly source: Ip;
  readonly kind: PathKind;
  readonly identifier: number;
  readonly socket: ProbeSocket | null;
  readonly openedAtMs: number;
}

interface Expected {
  readonly id: number;
  readonly identifier: number;
  readonly from: Ip;
  readonly nonce: Buffer;
  readonly length: number;
}

export class Prober implements Disposable {
  readonly #options: ProberOptions;
  readonly #table: PathTable;
  readonly #channels = new Map<string, Channel>();
  /** By sequence number, oldest first. */
  readonly #expected = new Map<number, Expected>();
  #sources: readonly Ip[] = [];
  #sequence = randomInt(0x1_0000);
  #revision = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#table = new PathTable(() => randomInt(0x1_0000_0000) / 0x1_0000_0000, performance.now());
  }

  get peers(): ReadonlyMap<Cidr, PeerPaths> {
    return this.#table.peers;
  }

  /** `sources`: own subnets' bases. The choice for peers that are new is made when this returns. */
  setTargets(
    sources: readonly Ip[],
    targets: readonly PathTarget[],
    inKernel: ReadonlyMap<Cidr, PathKind>,
  ): void {
    this.#sources = sources;
    for (const [key, { source }] of this.#channels) if (!sources.includes(source)) this.#closeChannel(key);
    this.#table.setTargets(targets, inKernel, performance.now());
    this.#revision = this.#table.revision;
    // Not in this turn: whoever sets the targets has the kernel to set up for them first.
    this.#arm(0);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const key of this.#channels.keys()) this.#closeChannel(key);
  }

  #arm(delayMs: number): void {
    if (this.#closed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), delayMs);
  }

  #run(): void {
    if (this.#closed) return;
    this.#drain();
    const { probes, wakeAtMs } = this.#table.step(performance.now());
    for (const probe of probes) this.#send(probe);
    this.#tell();
    if (this.#table.peers.size > 0) this.#arm(wakeAtMs - performance.now());
  }

  #tell(): void {
    if (this.#revision === this.#table.revision) return;
    this.#revision = this.#table.revision;
    this.#options.onChange();
  }

  /** An answer may bring the next probe forward. */
  #onReadable(): void {
    if (!this.#closed && this.#drain()) this.#run();
  }

  #drain(): boolean {
    let any = false;
    for (const { socket } of this.#channels.values()) {
      for (let got = socket?.receive() ?? null; got !== null; got = socket?.receive() ?? null)
        any = this.#receive(ipFamily(got.from), got.from, got.datagram) || any;
    }
    return any;
  }

  #receive(family: Family, from: Ip, datagram: Buffer): boolean {
    const reply = decodeReply(family, datagram);
    const expected = reply === null ? undefined : this.#expected.get(reply.sequence);
    if (reply === null || expected === undefined) return false;
    const { identifier, nonce, length } = expected;
    if (from !== expected.from || reply.identifier !== identifier || reply.length !== length) return false;
    if (!reply.nonce.equals(nonce)) return false;
    this.#expected.delete(reply.sequence);
    this.#table.answered(expected.id, performance.now());
    return true;
  }

  #send({ id, subnet, kind, length }: Probe): void {
    const family = cidrFamily(subnet);
    const channel = this.#channel(family, kind);
    if (channel === null || channel.socket === null) return;
    const { identifier, socket } = channel;
    this.#sequence = (this.#sequence + 1) & 0xffff;
    const sequence = this.#sequence;
    const nonce = randomBytes(NONCE_BYTES);
    const to = cidrBase(subnet);
    const echo = { identifier, sequence, nonce, length: length ?? shortestEcho(family) };
    if (!socket.send(to, encodeRequest(family, echo))) return;
    this.#expected.set(sequence, { id, from: to, identifier, nonce, length: echo.length });
    const [oldest] = this.#expected.keys();
    if (this.#expected.size > EXPECTED_MAX && oldest !== undefined) this.#expected.delete(oldest);
  }

  /** Null where there is nothing to send from. */
  #channel(family: Family, kind: PathKind): Channel | null {
    const key = `${family} ${kind}`;
    const known = this.#channels.get(key);
    const nowMs = performance.now();
    if (known?.socket || (known !== undefined && nowMs - known.openedAtMs < REOPEN_MS)) return known;
    const source = this.#sources.find((ip) => ipFamily(ip) === family);
    if (source === undefined) return null;
    const identifier = randomInt(0x1_0000);
    const open = this.#options.open ?? ProbeSocket.open;
    const socket = open({ source, mark: MARKS[kind], identifier, onReadable: () => this.#onReadable() });
    const channel = { source, kind, identifier, socket, openedAtMs: nowMs };
    this.#channels.set(key, channel);
    return channel;
  }

  #closeChannel(key: string): void {
    this.#channels.get(key)?.socket?.close();
    this.#channels.delete(key);
  }
}
