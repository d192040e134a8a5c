/** Transports with certificates on loopback, and messages to send over them. */
import type { X509Certificate } from 'node:crypto';
import type {
  AppendRequest,
  HeartbeatRequest,
  Message,
  SnapshotChunk,
} from '../../../../raft/core/messages.ts';
import { type ReplicaId, toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { MAX_DATAGRAM_BYTES, MAX_SNAPSHOT_BYTES } from '../../../../raft/limits.ts';
import type { DatagramState } from '../../../../raft/transport/datagram-path.ts';
import { MAX_SEALED_BYTES } from '../../../../raft/transport/keys.ts';
import { PeerTransport, type PeerTransportOptions } from '../../../../raft/transport/peer-transport.ts';
import type { Endpoint } from '../../../../raft/transport/transport.ts';
import { createTestAuthority, type TestAuthority, type TestNode } from '../../../support/certificates.ts';

export const authority: TestAuthority = await createTestAuthority();

export interface LogLine extends Readonly<Record<string, unknown>> {
  readonly event: string;
}

export interface Member extends AsyncDisposable {
  readonly id: ReplicaId;
  readonly transport: PeerTransport;
  readonly received: Message[];
  readonly logged: LogLine[];
}

/** A directory of who is who that tests can change. */
export class Cluster implements AsyncDisposable {
  readonly ids: readonly ReplicaId[];
  /** The member records: base64 SPKI. */
  readonly publicKeys: Map<ReplicaId, string> = new Map();
  readonly #nodes = new Map<ReplicaId, TestNode>();
  readonly #endpoints = new Map<ReplicaId, readonly Endpoint[]>();
  readonly #members: Member[] = [];

  private constructor(ids: readonly ReplicaId[]) {
    this.ids = ids;
  }

  static async of(size: number): Promise<Cluster> {
    const cluster = new Cluster(Array.from({ length: size }, (_, i) => toReplicaId(i + 1)));
    for (const id of cluster.ids) {
      const node = await authority.issue(`replica ${id}`);
      cluster.#nodes.set(id, node);
      cluster.publicKeys.set(id, node.publicKey);
    }
    return cluster;
  }

  node(id: ReplicaId): TestNode {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Error(`there is no replica ${id}`);
    return node;
  }

  setEndpoint(id: ReplicaId, ...ports: readonly number[]): void {
    this.#endpoints.set(
      id,
      ports.map((port) => ({ host: '127.0.0.1', port })),
    );
  }

  async start(id: ReplicaId, overrides: Partial<PeerTransportOptions> = {}): Promise<Member> {
    const received: Message[] = [];
    const logged: LogLine[] = [];
    const transport = new PeerTransport({
      self: id,
      context: Buffer.from('cluster 1, epoch 1'),
      bind: { host: '127.0.0.1', port: 0 },
      tls: this.node(id),
      endpointsOf: (replica) => this.#endpoints.get(replica) ?? [],
      authenticate: (certificate, claimed) => spki(certificate) === this.publicKeys.get(claimed),
      onRequest: async (caller, payload) =>
        Buffer.from(`${caller.replica ?? 'somebody'} at ${caller.remoteAddress}: ${Buffer.from(payload)}`),
      log: (event, fields) => logged.push({ event, ...fields }),
      ...overrides,
    });
    transport.onMessage = (message) => received.push(message);
    await transport.listen();
    if (!this.#endpoints.has(id)) this.setEndpoint(id, transport.port);
    const member: Member = {
      id,
      transport,
      received,
      logged,
      [Symbol.asyncDispose]: () => transport.close(),
    };
    this.#members.push(member);
    return member;
  }

  /** All of them, as peers of each other. */
  async startAll(): Promise<readonly Member[]> {
    const members = await Promise.all(this.ids.map((id) => this.start(id)));
    for (const { transport } of members) transport.setPeers(this.ids);
    return members;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#members.map(({ transport }) => transport.close()));
  }
}

export function spki(certificate: X509Certificate): string {
  return certificate.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
}

export function heartbeat(from: ReplicaId, to: ReplicaId, sequence: number): HeartbeatRequest {
  return { kind: 'heartbeat-request', from, to, term: toTerm(3), commit: toLogIndex(0), sequence };
}

export function append(from: ReplicaId, to: ReplicaId, payloadBytes: number, after = 0): AppendRequest {
  const term = toTerm(3);
  const index = toLogIndex(after + 1);
  return {
    kind: 'append-request',
    from,
    to,
    term,
    prev: { term: toTerm(after === 0 ? 0 : 3), index: toLogIndex(after) },
    commit: toLogIndex(0),
    entries: [{ kind: 'command', term, index, payload: new Uint8Array(payloadBytes).fill(7) }],
  };
}

export function chunk(from: ReplicaId, to: ReplicaId, offset: number, bytes: number): SnapshotChunk {
  return {
    kind: 'snapshot-chunk',
    from,
    to,
    term: toTerm(3),
    meta: {
      last: { term: toTerm(3), index: toLogIndex(9) },
      configuration: { voters: [from], outgoing: [], learners: [to] },
    },
    size: MAX_SNAPSHOT_BYTES,
    digest: new Uint8Array(32).fill(5),
    offset,
    data: new Uint8Array(bytes).fill(7),
  };
}

/** Of a datagram that only asks or acknowledges. */
const BARE_DATAGRAM_BYTES = MAX_DATAGRAM_BYTES - MAX_SEALED_BYTES + 13;

/** Those that carry messages. */
export function loaded(datagrams: readonly Buffer[]): readonly Buffer[] {
  return datagrams.filter(({ length }) => length > BARE_DATAGRAM_BYTES);
}

export function datagramsTo(member: Member, to: ReplicaId): DatagramState | undefined {
  return member.transport.peers().find(({ replica }) => replica === to)?.datagrams;
}

export function isConnected(member: Member, to: ReplicaId): boolean {
  return member.transport.peers().some(({ replica, connected }) => replica === to && connected);
}
