/** Replicas whose directory was put back to an older copy, and replicas that only look like it. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type ReplicaId, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { DATAGRAM_PROOF_MS } from '../../../../raft/limits.ts';
import type { MemoryStorage } from '../../../../raft/storage/memory.ts';
import type { PeerPositions, Position } from '../../../../raft/storage/storage.ts';
import { RolledBackError } from '../../../../raft/transport/errors.ts';
import type { PeerTransport, PeerTransportOptions } from '../../../../raft/transport/peer-transport.ts';
import { isBehind, NO_POSITION } from '../../../../raft/transport/witness.ts';
import { applied, Replicas, type Running } from '../runtime/replicas.ts';
import { append, type Cluster, datagramsTo, heartbeat, type Member } from './members.ts';
import { Relay } from './relay.ts';
import { cluster, connected, events, eventually } from './relayed-pair.ts';

const PATIENCE = { timeout: 30_000, interval: 10 };
const [one, two, three] = [toReplicaId(1), toReplicaId(2), toReplicaId(3)];

function at(writeSequence: number, term = 5): Position {
  return { writeSequence, term: toTerm(term) };
}

interface Standing {
  position: Position;
}

async function startAt(
  both: Cluster,
  id: ReplicaId,
  standing: Standing,
  overrides: Partial<PeerTransportOptions> = {},
): Promise<{ member: Member; errors: Error[]; seen: PeerPositions[] }> {
  const member = await both.start(id, overrides);
  const errors: Error[] = [];
  const seen: PeerPositions[] = [];
  member.transport.position = () => standing.position;
  member.transport.onRolledBack = (error) => errors.push(error);
  member.transport.onSeen = (positions) => seen.push(positions);
  return { member, errors, seen };
}

describe('a peer that stands lower than it was seen', () => {
  it.each([
    ['dials', one, two],
    ['is dialled', two, one],
  ])('is refused with both numbers, and hears it, when it %s', async (_how, restored, witness) => {
    const both = await cluster(2);
    const w = await startAt(both, witness, { position: at(7) });
    const r = await startAt(both, restored, { position: at(80, 4) });
    w.member.transport.recall(new Map([[restored, at(120)]]));
    for (const { member } of [w, r]) member.transport.setPeers(both.ids);
    await eventually(() => expect(r.errors).not.toEqual([]));
    const sentence =
      `replica ${restored} stands at write 80 of term 4, but was seen at write 120 of term 5: ` +
      'its directory was put back to an older copy; ' +
      'remove the replica from the cluster and let the host join again as a new one';
    expect(r.errors[0]).toBeInstanceOf(RolledBackError);
    expect(r.errors[0]?.message).toBe(sentence);
    expect(events(r.member)).toContain('rolled-back');
    const refused = w.member.logged.find(({ event }) => event === 'session-refused');
    expect(refused).toMatchObject({ claimed: restored, reason: 'rolled-back', detail: sentence });
    expect(events(w.member)).not.toContain('session-opened');
    expect(w.errors).toEqual([]);
  });

  it.each([
    ['datagrams', heartbeat(two, one, 1)],
    ['streams', append(two, one, 5_000)],
  ])('was seen in its %s, and is found out after the witness has restarted too', async (_how, message) => {
    const both = await cluster(2);
    const standing = { position: at(80) };
    const w = await startAt(both, one, { position: at(7) });
    const r = await startAt(both, two, standing);
    for (const { member } of [w, r]) member.transport.setPeers(both.ids);
    await eventually(() => expect(datagramsTo(r.member, one)).toBe('ok'));
    standing.position = at(120);
    r.member.transport.send(message);
    // Sooner than the two would ask each other whether datagrams still arrive.
    const told = { ...PATIENCE, timeout: DATAGRAM_PROOF_MS - 2_000 };
    await vi.waitFor(() => expect(w.seen.at(-1)?.get(two)).toEqual(at(120)), told);
    await Promise.all([w.member.transport.close(), r.member.transport.close()]);
    const bind = { host: '127.0.0.1', port: w.member.transport.port };
    const again = await startAt(both, one, { position: at(7) }, { bind });
    again.member.transport.recall(w.seen.at(-1) ?? new Map());
    const old = await startAt(both, two, { position: at(119) });
    old.member.transport.setPeers([one]);
    await eventually(() => expect(old.errors).toHaveLength(1));
  });
});

describe('a peer that stands as high as it was seen', () => {
  it('is let in after a normal restart', async () => {
    const both = await cluster(2);
    const w = await startAt(both, one, { position: at(7) });
    w.member.transport.recall(new Map([[two, at(120)]]));
    const r = await startAt(both, two, { position: at(120) });
    for (const { member } of [w, r]) member.transport.setPeers(both.ids);
    await connected(w.member, two);
    await connected(r.member, one);
    expect([...w.errors, ...r.errors]).toEqual([]);
  });

  it('is let in when messages overtake its hello that were sent after it', async () => {
    const both = await cluster(2);
    const standing = { position: at(100) };
    let beforeHello = (): void => undefined;
    const authenticate = (): boolean => {
      beforeHello();
      return true;
    };
    const r = await startAt(both, one, standing, { authenticate });
    const w = await startAt(both, two, { position: at(7) });
    const relay = await Relay.start(w.member.transport.port);
    onTestFinished(() => relay[Symbol.asyncDispose]());
    both.setEndpoint(two, relay.port);
    both.setEndpoint(one, 9);
    for (const { member } of [r, w]) member.transport.setPeers(both.ids);
    await eventually(() => expect(datagramsTo(r.member, two)).toBe('ok'));
    // The hello of the next session is held up from when it is written.
    const written = new Promise<void>((resolve) => {
      beforeHello = () => {
        relay.pauseStreams();
        resolve();
      };
    });
    relay.cutStreams();
    await written;
    standing.position = at(101);
    r.member.transport.send(heartbeat(one, two, 1));
    await eventually(() => expect(w.member.received).toHaveLength(1));
    relay.resumeStreams();
    await connected(r.member, two);
    await connected(w.member, one);
    expect(events(w.member)).not.toContain('session-refused');
    expect(r.errors).toEqual([]);
  });
});

/** Replicas on real transports. */
class Fleet implements AsyncDisposable {
  readonly replicas = new Replicas();
  readonly #members: Cluster;
  readonly #transports = new Map<ReplicaId, PeerTransport>();

  constructor(members: Cluster) {
    this.#members = members;
  }

  async start(id: ReplicaId, disk: MemoryStorage): Promise<Running> {
    const port = this.#transports.get(id)?.port ?? 0;
    const { transport } = await this.#members.start(id, { bind: { host: '127.0.0.1', port } });
    this.#transports.set(id, transport);
    const running = await this.replicas.start(id, disk, disk, transport);
    transport.setPeers(this.#members.ids);
    return running;
  }

  async stop(id: ReplicaId): Promise<MemoryStorage> {
    await this.#transports.get(id)?.close();
    return await this.replicas.kill(id);
  }

  /** What `id` has made durable of where `of` was. */
  async remembered(id: ReplicaId, of: ReplicaId): Promise<Position> {
    const { seen } = await this.replicas.get(id).storage.load();
    return seen.get(of) ?? NO_POSITION;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.replicas[Symbol.asyncDispose]();
  }
}

describe('three replicas', PATIENCE, () => {
  it('go on without one that was put back to an older copy, and with it after a normal restart', async () => {
    await using fleet = new Fleet(await cluster(3));
    const { replicas } = fleet;
    const disks = Replicas.disks([one, two, three]);
    for (const [id, disk] of disks) await fleet.start(id, disk);
    await replicas.commit('first');
    await applied(replicas.get(three), 1);
    const copy = replicas.get(three).storage.reopened();
    await replicas.commit('second');
    await applied(replicas.get(three), 2);
    const { position } = replicas.get(three).storage;
    // Whoever talks to it: the leader at least, or both when it leads.
    await vi.waitFor(async () => {
      const seen = await Promise.all([one, two].map((id) => fleet.remembered(id, three)));
      expect(seen.some((position) => isBehind(copy.position, position))).toBe(true);
    }, PATIENCE);
    const disk = await fleet.stop(three);
    expect(isBehind(disk.position, position)).toBe(false);

    const old = await fleet.start(three, copy);
    await eventually(() => expect(old.errors[0]).toBeInstanceOf(RolledBackError));
    await replicas.commit('third', [three]);
    await fleet.stop(three);

    const restarted = await fleet.start(three, disk);
    await replicas.commit('fourth');
    await applied(restarted, 4);
    expect(restarted.errors).toEqual([]);
  });
});
