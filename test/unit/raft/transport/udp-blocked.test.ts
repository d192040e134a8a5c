/** Networks that let TCP through and UDP not, in one direction or both. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Message } from '../../../../raft/core/messages.ts';
import { type ReplicaId, toReplicaId } from '../../../../raft/core/types.ts';
import { DATAGRAM_PROOF_MS } from '../../../../raft/limits.ts';
import { applied, Replicas } from '../runtime/replicas.ts';
import { Cluster, datagramsTo, heartbeat, loaded, type Member } from './members.ts';
import { Relay } from './relay.ts';

const patience = { timeout: 30_000, interval: 10 };
const [one, two] = [toReplicaId(1), toReplicaId(2)];

/** Every pair speaks through a relay of its own, and the lower id dials. */
class Network {
  readonly members: readonly Member[];
  readonly relays: readonly Relay[];

  private constructor(members: readonly Member[], relays: readonly Relay[]) {
    this.members = members;
    this.relays = relays;
  }

  static async of(size: number): Promise<Network> {
    const cluster = await Cluster.of(size);
    onTestFinished(() => cluster[Symbol.asyncDispose]());
    const ports = new Map<string, number>();
    const members: Member[] = [];
    for (const id of cluster.ids) {
      const endpointsOf = (replica: ReplicaId): { host: string; port: number }[] => {
        const port = ports.get(`${id} to ${replica}`);
        return port === undefined ? [] : [{ host: '127.0.0.1', port }];
      };
      members.push(await cluster.start(id, { endpointsOf }));
    }
    const relays: Relay[] = [];
    for (const lower of members)
      for (const higher of members.filter(({ id }) => id > lower.id)) {
        const relay = await Relay.start(higher.transport.port);
        onTestFinished(() => relay[Symbol.asyncDispose]());
        ports.set(`${lower.id} to ${higher.id}`, relay.port);
        // Nobody takes a TCP connection there.
        ports.set(`${higher.id} to ${lower.id}`, relay.datagramPort);
        relays.push(relay);
      }
    return new Network(members, relays);
  }

  block({ there, back }: { readonly there: boolean; readonly back: boolean }): void {
    for (const relay of this.relays) {
      relay.passesDatagrams = !there;
      relay.passesAnswers = !back;
    }
  }

  connect(): void {
    const ids = this.members.map(({ id }) => id);
    for (const { transport } of this.members) transport.setPeers(ids);
  }

  /** Of every member to every other. */
  states(): string[] {
    return this.members.flatMap(({ transport }) => transport.peers().map(({ datagrams }) => datagrams));
  }

  async reaches(
    state: 'ok' | 'blocked',
    meanwhile: () => void = () => undefined,
    timeout: number = patience.timeout,
  ): Promise<void> {
    await vi.waitFor(
      () => {
        meanwhile();
        expect(this.states()).toEqual(this.states().map(() => state));
      },
      { ...patience, timeout },
    );
  }

  /** Datagrams with messages in them that somebody has sent, lost ones too. */
  loaded(): number {
    return this.relays.reduce(
      (sum, { datagrams, answers }) => sum + loaded(datagrams).length + loaded(answers).length,
      0,
    );
  }
}

function events({ logged }: Member): string[] {
  return logged.map(({ event }) => event).filter((event) => event.startsWith('datagrams-'));
}

describe('a pair', patience, () => {
  it.each([
    ['there', { there: true, back: false }],
    ['back', { there: false, back: true }],
    ['both ways', { there: true, back: true }],
  ])('takes the stream in both directions when datagrams are blocked %s', async (_name, blocked) => {
    const network = await Network.of(2);
    const [a, b] = network.members;
    if (a === undefined || b === undefined) throw new Error('two were started');
    network.connect();
    await network.reaches('ok');
    network.block(blocked);
    const talk = (): void => {
      a.transport.send(heartbeat(one, two, 1));
      b.transport.send(heartbeat(two, one, 1));
    };
    // Who talks learns it from what it says, and does not wait for its proof to grow old.
    await network.reaches('blocked', talk, DATAGRAM_PROOF_MS);
    const before = network.loaded();
    a.transport.send(heartbeat(one, two, 1_000));
    b.transport.send(heartbeat(two, one, 2_000));
    const last = (received: readonly Message[]): unknown => received.at(-1);
    await vi.waitFor(() => expect(last(b.received)).toEqual(heartbeat(one, two, 1_000)), patience);
    await vi.waitFor(() => expect(last(a.received)).toEqual(heartbeat(two, one, 2_000)), patience);
    expect(network.loaded()).toBe(before);
    network.block({ there: false, back: false });
    await network.reaches('ok');
    a.transport.send(heartbeat(one, two, 1_001));
    b.transport.send(heartbeat(two, one, 2_001));
    await vi.waitFor(() => expect(last(b.received)).toEqual(heartbeat(one, two, 1_001)), patience);
    await vi.waitFor(() => expect(last(a.received)).toEqual(heartbeat(two, one, 2_001)), patience);
    expect(network.loaded()).toBe(before + 2);
    for (const member of [a, b]) expect(events(member)).toEqual(['datagrams-blocked', 'datagrams-restored']);
  });

  it('does not call a peer blocked that says nothing at all', async () => {
    const network = await Network.of(2);
    const [a] = network.members;
    if (a === undefined) throw new Error('two were started');
    network.connect();
    await network.reaches('ok');
    network.block({ there: true, back: true });
    for (const relay of network.relays) relay.isFrozen = true;
    await vi.waitFor(() => {
      a.transport.send(heartbeat(one, two, 1));
      expect(a.transport.peers()[0]?.lastHeardMs).toBeGreaterThan(2_500);
    }, patience);
    expect(datagramsTo(a, two)).toBe('ok');
    expect(events(a)).toEqual([]);
  });
});

describe('three replicas that no datagram reaches', patience, () => {
  it('elect a leader and commit over streams, and take datagrams when they can', async () => {
    const network = await Network.of(3);
    network.block({ there: true, back: true });
    network.connect();
    await using replicas = new Replicas();
    for (const [id, disk] of Replicas.disks(network.members.map((member) => member.id))) {
      const member = network.members.find((candidate) => candidate.id === id);
      await replicas.start(id, disk, disk, member?.transport);
    }
    await replicas.commit('over streams');
    await Promise.all([...replicas.running.values()].map((replica) => applied(replica, 1)));
    expect(network.loaded()).toBe(0);
    const { id: leader } = await replicas.leader();
    const voice = network.members.find(({ id }) => id === leader);
    await vi.waitFor(() => {
      expect(voice?.transport.peers().map(({ datagrams }) => datagrams)).toEqual(['blocked', 'blocked']);
    }, patience);
    network.block({ there: false, back: false });
    await network.reaches('ok');
    await replicas.commit('over datagrams');
    expect(network.loaded()).toBeGreaterThan(0);
  });
});
