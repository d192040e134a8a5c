/**
 * The network of one replica: sessions to its peers, the datagrams whose keys the sessions prove, and the requests of
 * members and strangers. Owns every session and decides which of two stays; knows nothing of what is said.
 *
 * Races it survives: both sides of a pair dial at once (the session dialled by the lower id stays, and both sides come
 * to the same one); a peer restarts while its old session looks alive (the old one must show that it is, or goes); a
 * session is replaced while answers are under way on it (it lives on for the grace); a datagram overtakes the hello that
 * its receiver needs before it has the keys (the stream carries everything until a datagram was acknowledged).
 */
import type { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Message } from '../core/messages.ts';
import { assert, type ReplicaId } from '../core/types.ts';
import {
  ANONYMOUS_IDLE_MS,
  ANONYMOUS_SESSIONS_MAX,
  DIAL_DELAY_MS,
  MEMBER_REQUESTS_MAX,
  REPLACED_GRACE_MS,
  STREAM_AFFINITY_MS,
} from '../limits.ts';
import { DecodeError } from '../storage/bytes.ts';
import type { PeerPositions, Position } from '../storage/storage.ts';
import { Acceptor, hashContext, type TlsIdentity, type TransportLog } from './acceptor.ts';
import { decodeMessage, encodeMessage } from './codec.ts';
import type { DatagramAddress } from './datagram.ts';
import type { DatagramState } from './datagram-path.ts';
import { dial } from './dial.ts';
import { Dialler } from './dialler.ts';
import { RolledBackError, TransportError } from './errors.ts';
import type { Hello, Refusal } from './frame.ts';
import { DatagramKeys } from './keys.ts';
import { type Bond, type Link, newLink } from './link.ts';
import { SealedDatagrams } from './sealed-datagrams.ts';
import { type Caller, Session } from './session.ts';
import type { FrameStream } from './stream.ts';
import type { Endpoint, Transport } from './transport.ts';
import { describeRollback, isBehind, NO_POSITION, Witness } from './witness.ts';

export interface PeerTransportOptions {
  readonly self: ReplicaId;
  /** Names the cluster and its epoch. Replicas with different contexts refuse each other. */
  readonly context: Uint8Array;
  /** The same port for TCP and UDP; 0 takes a free one. A wildcard host listens on all addresses. */
  readonly bind: Endpoint;
  readonly tls: TlsIdentity;
  /** Address hints, asked at each attempt; one after the other is tried. */
  readonly endpointsOf: (replica: ReplicaId) => readonly Endpoint[];
  /** Is this key that replica? Asked for each new session and by `reauthenticate`. */
  readonly authenticate: (certificate: X509Certificate, claimed: ReplicaId) => boolean;
  /** A rejection reaches the caller as `remote`, with its message only where the caller is a member. */
  readonly onRequest: (caller: Caller, payload: Uint8Array) => Promise<Uint8Array>;
  /** How often the datagram keys are renewed; REKEY_MS unless told. */
  readonly rekeyMs?: number;
  readonly log?: TransportLog;
}

export interface PeerStatus {
  readonly replica: ReplicaId;
  /** A session is open. Datagrams may go on without. */
  readonly connected: boolean;
  /** Milliseconds since anything authentic came from it; null for never. */
  readonly lastHeardMs: number | null;
  /** Where datagrams to it go; null before the first session. */
  readonly endpoint: Endpoint | null;
  /** Whether they arrive there. While they do not, the session carries everything. */
  readonly datagrams: DatagramState;
}

const HOUSEKEEPING_MS = 250;

export class PeerTransport implements Transport {
  onMessage: (message: Message) => void = () => undefined;
  onReachable: (peer: ReplicaId) => void = () => undefined;
  position: () => Position = () => NO_POSITION;
  onSeen: (seen: PeerPositions) => void = () => undefined;
  onRolledBack: (error: RolledBackError) => void = () => undefined;
  readonly #options: PeerTransportOptions;
  readonly #log: TransportLog;
  readonly #contextHash: Uint8Array;
  readonly #acceptor: Acceptor;
  readonly #datagrams: SealedDatagrams;
  readonly #witness = new Witness();
  readonly #links = new Map<ReplicaId, Link>();
  /** Oldest first. */
  readonly #anonymous = new Set<Session>();
  #secureContext: SecureContext;
  #housekeeping: NodeJS.Timeout | null = null;
  #port = 0;
  #isClosed = false;

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#log = options.log ?? (() => undefined);
    this.#contextHash = hashContext(options.context);
    this.#secureContext = createSecureContext({ ...options.tls, minVersion: 'TLSv1.3' });
    this.#acceptor = new Acceptor({
      hello: () => this.#hello(),
      seen: () => this.#witness.entries(),
      tls: options.tls,
      authenticate: (certificate, claimed) => this.#authenticate(certificate, claimed),
      open: (stream, replica, certificate) => this.#accept(stream, replica, certificate),
      log: this.#log,
    });
    this.#datagrams = new SealedDatagrams({
      rekeyMs: options.rekeyMs,
      log: this.#log,
      onMessage: (sender, bytes) => this.#deliver(sender, bytes),
      writeSequence: () => this.position().writeSequence,
      onSeen: (peer, writeSequence) => this.#witness.observe(peer, { ...NO_POSITION, writeSequence }),
    });
  }

  /** Rejects with an error whose cause carries the errno: EADDRINUSE, EADDRNOTAVAIL, EACCES. */
  async listen(): Promise<void> {
    const { host, port } = this.#options.bind;
    try {
      this.#port = await this.#acceptor.listen(host, port);
      await this.#datagrams.bind(host, this.#port);
    } catch (cause) {
      await this.close();
      throw new Error(`cannot listen on port ${port} of ${host} for TCP and UDP`, { cause });
    }
    // After a stalled event loop timers come before sockets: what has arrived is heard before anyone is called silent.
    this.#housekeeping = setInterval(() => setImmediate(() => this.#keepHouse()), HOUSEKEEPING_MS);
  }

  recall(seen: PeerPositions): void {
    for (const [peer, position] of seen) this.#witness.observe(peer, position);
  }

  /** The port in use, 0 before `listen`. */
  get port(): number {
    return this.#port;
  }

  /** Sessions are kept to these. Whoever was a peer and is none now loses its session and its keys. */
  setPeers(peers: readonly ReplicaId[]): void {
    const wanted = new Set(peers.filter((peer) => peer !== this.#options.self));
    for (const link of [...this.#links.values()]) {
      if (wanted.has(link.replica)) continue;
      this.#forget(link);
      this.#witness.forget(link.replica);
    }
    for (const peer of wanted) {
      const link = this.#linkOf(peer);
      if (link.dialler === null) this.#list(link);
    }
  }

  send(message: Message): void {
    const link = this.#links.get(message.to);
    if (link === undefined || this.#isClosed) return;
    const bytes = encodeMessage(message);
    const session = link.current?.session;
    if (message.kind === 'snapshot-chunk') session?.sendBulk(bytes);
    else if (!this.#sendDatagram(link, message, bytes)) session?.sendMessage(bytes);
  }

  /**
   * Dials at once where there is no session, and waits for it. Rejects with a TransportError; whether the request was
   * carried out is open after `closed` and `timeout`.
   */
  async request(
    to: ReplicaId,
    payload: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    const session = await this.#sessionTo(to, options.signal);
    return session.request(payload, options.signal);
  }

  /** Cuts its session and its keys at once. A peer may connect again if it is still authentic. */
  disconnect(replica: ReplicaId): void {
    this.#datagrams.forget(replica);
    const link = this.#links.get(replica);
    // The replaced one first: it must not take the place of the current one.
    link?.replaced?.session.destroy(null);
    link?.current?.session.destroy(null);
    if (link !== undefined) link.replaced = null;
  }

  /** Disconnects every replica that `authenticate` does not accept any more. */
  reauthenticate(): void {
    for (const { replica, certificate } of [...this.#links.values()]) {
      if (certificate === null || this.#authenticate(certificate, replica)) continue;
      this.#log('session-revoked', { replica });
      this.disconnect(replica);
    }
  }

  /** For new sessions; those that are open stay as they are. */
  setTls(tls: TlsIdentity): void {
    this.#secureContext = createSecureContext({ ...tls, minVersion: 'TLSv1.3' });
    this.#acceptor.setTls(tls);
  }

  peers(): PeerStatus[] {
    const nowMs = performance.now();
    return [...this.#links.values()]
      .filter(({ dialler }) => dialler !== null)
      .map(({ replica, current }) => {
        const { datagrams, address, heardMs } = this.#datagrams.status(replica);
        const heard = Math.max(heardMs ?? -1, current?.session.lastHeardMs ?? -1);
        return {
          replica,
          connected: current !== null,
          lastHeardMs: heard < 0 ? null : nowMs - heard,
          endpoint: address === null ? null : { host: address.address, port: address.port },
          datagrams,
        };
      });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#housekeeping !== null) clearInterval(this.#housekeeping);
    for (const link of [...this.#links.values()]) this.#forget(link);
    for (const session of this.#anonymous) session.destroy(null);
    await Promise.all([this.#acceptor.close(), this.#datagrams.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** False when it must take the stream. What follows a large append follows it there, so that they arrive in order. */
  #sendDatagram(link: Link, message: Message, bytes: Uint8Array): boolean {
    const nowMs = performance.now();
    const isBulk = message.kind === 'append-request' && message.entries.length > 0;
    if (!this.#datagrams.fits(bytes)) {
      if (isBulk) link.streamUntilMs = nowMs + STREAM_AFFINITY_MS;
      return false;
    }
    const isBehind = isBulk && nowMs < link.streamUntilMs;
    const carries = !isBehind && this.#datagrams.carries(link.replica, nowMs);
    return (carries || link.current === null) && this.#datagrams.send(message.to, bytes, nowMs);
  }

  #deliver(sender: ReplicaId, bytes: Uint8Array): void {
    const message = decodeMessage(bytes);
    if (message.from !== sender || message.to !== this.#options.self)
      throw new DecodeError(`replica ${sender} sent a message from ${message.from} to ${message.to}`);
    if (!this.#isClosed) this.onMessage(message);
  }

  /** A throw would be a bug of the caller's that a stranger's certificate sets off: it refuses. */
  #authenticate(certificate: X509Certificate, claimed: ReplicaId): boolean {
    try {
      return this.#options.authenticate(certificate, claimed);
    } catch (error) {
      this.#log('authenticate-failed', { claimed, error });
      return false;
    }
  }

  #sessionTo(replica: ReplicaId, signal: AbortSignal | undefined): Promise<Session> {
    const link = this.#links.get(replica);
    return new Promise((resolve, reject) => {
      const fail = (code: 'timeout' | 'unreachable', why: string, cause?: unknown): void => {
        settle();
        reject(new TransportError(code, `replica ${replica}: ${why}`, { cause }));
      };
      const abort = (): void => fail('timeout', 'the wait for a connection was ended', signal?.reason);
      const opened = (session: Session): void => {
        settle();
        resolve(session);
      };
      const settle = (): void => {
        link?.waiting.delete(opened);
        signal?.removeEventListener('abort', abort);
      };
      if (link?.current != null) resolve(link.current.session);
      else if (link?.dialler == null) fail('unreachable', 'it is no peer');
      else if (link.waiting.size >= MEMBER_REQUESTS_MAX) fail('unreachable', 'too many wait for it');
      else {
        link.waiting.add(opened);
        signal?.addEventListener('abort', abort, { once: true });
        link.dialler.now().catch((error: unknown) => fail('unreachable', 'it did not answer', error));
      }
    });
  }

  #linkOf(replica: ReplicaId): Link {
    const link = this.#links.get(replica) ?? newLink(replica);
    this.#links.set(replica, link);
    return link;
  }

  #list(link: Link): void {
    const { replica } = link;
    link.dialler = new Dialler({
      isNeeded: () => this.#needsSession(replica),
      dial: (attempt, signal) => this.#dial(replica, attempt, signal),
      onFailure: (error) => this.#log('dial-failed', { replica, error }),
    });
    link.dialler.start(this.#dialDelayMs(replica));
  }

  #forget(link: Link): void {
    link.dialler?.stop();
    this.disconnect(link.replica);
    this.#links.delete(link.replica);
  }

  #needsSession(replica: ReplicaId): boolean {
    const session = this.#links.get(replica)?.current?.session;
    return session === undefined || (session.dialled && this.#datagrams.isRenewalDue(replica));
  }

  #dialDelayMs(replica: ReplicaId): number {
    return this.#options.self < replica ? 0 : DIAL_DELAY_MS;
  }

  async #dial(replica: ReplicaId, attempt: number, signal: AbortSignal): Promise<void> {
    const endpoints = this.#options.endpointsOf(replica);
    const endpoint = endpoints[attempt % Math.max(endpoints.length, 1)];
    if (endpoint === undefined)
      throw new TransportError('unreachable', `no address of replica ${replica} is known`);
    const { host } = this.#options.bind;
    // Its hello answers ours, so it tells of everything that was seen by now.
    const seen = this.#witness.entries().get(replica);
    await dial({
      endpoint,
      secureContext: this.#secureContext,
      localAddress: host === '0.0.0.0' || host === '::' ? undefined : host,
      hello: this.#hello(),
      trust: (certificate) => this.#authenticate(certificate, replica),
      open: (stream, hello, certificate) => {
        const isExpected = Buffer.from(hello.contextHash).equals(this.#contextHash);
        if (!isExpected || hello.replica !== replica) throw new DecodeError('the hello of another replica');
        if (seen !== undefined && isBehind(hello.position, seen))
          throw new TransportError('untrusted', describeRollback(replica, hello.position, seen));
        this.#witness.observe(replica, hello.position);
        this.#adopt(stream, replica, certificate, true);
      },
      onRefusal: (refusal) => this.#refused(replica, refusal),
      signal,
    });
  }

  #hello(): Hello {
    return { replica: this.#options.self, contextHash: this.#contextHash, position: this.position() };
  }

  #refused(by: ReplicaId, refusal: Refusal): void {
    const position = this.position();
    if (refusal.reason !== 'rolled-back' || !isBehind(position, refusal.seen)) return;
    const error = new RolledBackError(this.#options.self, position, refusal.seen);
    this.#log('rolled-back', { by, error });
    this.onRolledBack(error);
  }

  #accept(stream: FrameStream, replica: ReplicaId | null, certificate: X509Certificate | null): void {
    if (this.#isClosed) stream.destroy(null);
    else if (replica === null || certificate === null) this.#acceptAnonymous(stream, certificate);
    else this.#adopt(stream, replica, certificate, false);
  }

  #acceptAnonymous(stream: FrameStream, certificate: X509Certificate | null): void {
    if (this.#anonymous.size >= ANONYMOUS_SESSIONS_MAX) {
      const idle = [...this.#anonymous].find((session) => session.idleSinceMs !== null);
      (idle ?? stream).destroy(null);
      if (idle === undefined) return;
      this.#anonymous.delete(idle);
    }
    const session = this.#newSession(stream, null, certificate, false);
    session.onClose = () => this.#anonymous.delete(session);
    this.#anonymous.add(session);
  }

  #newSession(
    stream: FrameStream,
    replica: ReplicaId | null,
    certificate: X509Certificate | null,
    dialled: boolean,
  ): Session {
    return new Session(stream, {
      replica,
      certificate,
      dialled,
      onMessage: (bytes) => {
        if (replica !== null) this.#deliver(replica, bytes);
      },
      writeSequence: () => this.position().writeSequence,
      onSeen: (writeSequence) => {
        if (replica !== null) this.#witness.observe(replica, { ...NO_POSITION, writeSequence });
      },
      onRequest: (caller, payload) => this.#options.onRequest(caller, payload),
    });
  }

  /** A new session of a member, dialled or accepted. */
  #adopt(stream: FrameStream, replica: ReplicaId, certificate: X509Certificate, dialled: boolean): void {
    const session = this.#newSession(stream, replica, certificate, dialled);
    const keys = DatagramKeys.derive(session, this.#options.context, this.#options.self, replica);
    session.onClose = (error) => this.#lost(replica, session, error);
    const link = this.#linkOf(replica);
    const { current } = link;
    if (current !== null && this.#isDialledByLower(current.session) && !this.#isDialledByLower(session)) {
      this.#datagrams.accept(replica, keys);
      this.#retire(link, { session, keys });
      current.session.doubt();
      return;
    }
    if (current !== null) this.#retire(link, current);
    this.#promote(link, { session, keys });
  }

  #promote(link: Link, bond: Bond): void {
    const { session, keys } = bond;
    link.current = bond;
    link.certificate = session.certificate;
    // The acceptor of a session has derived the keys before its hello left; the dialler may not have them yet.
    const peerHasThem = session.dialled;
    this.#datagrams.install(link.replica, keys, this.#addressOf(session), { peerHasThem });
    this.#log('session-opened', {
      replica: link.replica,
      dialled: session.dialled,
      address: session.remoteAddress,
    });
    for (const opened of [...link.waiting]) opened(session);
    this.onReachable(link.replica);
  }

  /** The port of a session that was dialled by the peer says nothing about where its datagrams are received. */
  #addressOf(session: Session): DatagramAddress | null {
    if (session.dialled) return { address: session.remoteAddress, port: session.remotePort };
    const known = session.replica === null ? null : this.#datagrams.status(session.replica).address;
    if (known?.address === session.remoteAddress) return known;
    const endpoints = session.replica === null ? [] : this.#options.endpointsOf(session.replica);
    const hint = endpoints.find(({ host }) => host === session.remoteAddress) ?? endpoints[0];
    return hint === undefined ? null : { address: session.remoteAddress, port: hint.port };
  }

  #isDialledByLower(session: Session): boolean {
    assert(session.replica !== null, 'an anonymous session belongs to no pair');
    return session.dialled === this.#options.self < session.replica;
  }

  #retire(link: Link, bond: Bond): void {
    link.replaced?.session.destroy(null);
    link.replaced = bond;
    setTimeout(() => {
      if (link.replaced === bond) bond.session.destroy(null);
    }, REPLACED_GRACE_MS).unref();
  }

  #lost(replica: ReplicaId, session: Session, error: Error | null): void {
    const link = this.#links.get(replica);
    if (link?.replaced?.session === session) link.replaced = null;
    if (link?.current?.session !== session) return;
    this.#log('session-closed', { replica, error });
    link.current = null;
    if (link.replaced !== null) {
      this.#promote(link, link.replaced);
      link.replaced = null;
    } else if (link.dialler === null) {
      this.#forget(link);
    } else {
      link.dialler.lost(performance.now() - session.openedMs);
      link.dialler.start(this.#dialDelayMs(replica));
    }
  }

  #keepHouse(): void {
    const nowMs = performance.now();
    const news = this.#witness.takeNews(nowMs);
    if (news !== null) this.onSeen(news);
    for (const session of this.#anonymous)
      if (session.idleSinceMs !== null && nowMs - session.idleSinceMs > ANONYMOUS_IDLE_MS)
        session.destroy(null);
    for (const link of this.#links.values()) {
      link.current?.session.tick(nowMs);
      if (link.dialler !== null && this.#needsSession(link.replica))
        link.dialler.start(this.#dialDelayMs(link.replica));
    }
    this.#datagrams.tick((peer) => this.#links.get(peer)?.current?.session.lastHeardMs ?? null);
  }
}
