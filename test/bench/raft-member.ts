/**
 * One replica in a process of its own: RaftNode over LevelStorage, with every write synced, and PeerTransport, with TLS
 * and sealed datagrams. The clients are in here as well, as promises: what is measured is the library, without an API.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  bootstrapState,
  EMPTY_STATE,
  LevelStorage,
  PeerTransport,
  RaftNode,
  type StateMachine,
  toReplicaId,
} from '../../raft/index.ts';
import { load } from './load.ts';
import { ENTRY_BYTES, type MemberCalls, type MemberConfig, machineMs } from './raft-calls.ts';
import { traffic } from './traffic.ts';
import { serve } from './worker.ts';

const CLUSTER = 'bench';
const POLL_MS = 1;

/** As little as a state machine can be. */
class Counter implements StateMachine<number> {
  #count = 0;

  apply(): number {
    this.#count += 1;
    return this.#count;
  }

  snapshot(): Iterable<Uint8Array> {
    return [Uint8Array.from(String(this.#count), (digit) => digit.charCodeAt(0))];
  }

  restore(data: Uint8Array): void {
    this.#count = Number(String.fromCharCode(...data));
  }
}

interface Member {
  readonly node: RaftNode<number>;
  readonly transport: PeerTransport;
  readonly storage: LevelStorage;
}

let member: Member | null = null;

function running(): Member {
  if (member === null) throw new Error('not started');
  return member;
}

async function openStorage({ begin, directory, replica }: MemberConfig): Promise<LevelStorage> {
  const id = toReplicaId(replica);
  const identity = { cluster: CLUSTER, replica: id };
  if (begin === 'again') return await LevelStorage.open(directory, identity);
  const initial = begin === 'first' ? bootstrapState(id) : EMPTY_STATE;
  return await LevelStorage.create(directory, identity, { ...initial, snapshot: null });
}

async function start(config: MemberConfig): Promise<void> {
  const { replica, tls, members } = config;
  const keys = new Map(members.map((m) => [m.replica, m.publicKey]));
  const ports = new Map(members.map((m) => [m.replica, m.port]));
  const endpoint = (id: number) => ({ host: '127.0.0.1', port: ports.get(id) ?? 0 });
  const storage = await openStorage(config);
  const transport = new PeerTransport({
    self: toReplicaId(replica),
    context: Buffer.from(CLUSTER),
    bind: endpoint(replica),
    tls,
    endpointsOf: (id) => [endpoint(id)],
    authenticate: (certificate, claimed) =>
      certificate.publicKey.export({ type: 'spki', format: 'der' }).toString('base64') === keys.get(claimed),
    onRequest: () => Promise.reject(new Error('nothing is asked here')),
  });
  await transport.listen();
  const node = await RaftNode.start({
    id: toReplicaId(replica),
    storage,
    transport,
    stateMachine: new Counter(),
    onFatal: (error) => {
      throw error;
    },
  });
  transport.setPeers(members.map((m) => toReplicaId(m.replica)));
  member = { node, transport, storage };
}

let proposals = 0;

/** Each client makes its command anew, as one that comes from outside would be. */
async function commit(): Promise<boolean> {
  const payload = new Uint8Array(ENTRY_BYTES);
  new DataView(payload.buffer).setUint32(0, proposals++);
  const outcome = await running().node.propose(payload);
  return outcome.kind === 'applied';
}

/** A linearizable read, without what would be read. */
async function read(): Promise<boolean> {
  const outcome = await running().node.readIndex();
  return outcome.kind === 'ready';
}

let isAsking = false;

async function firstCommit(): Promise<number> {
  isAsking = true;
  while (isAsking && !(await commit())) await delay(POLL_MS);
  return machineMs();
}

async function applied(index: number): Promise<void> {
  const { node } = running();
  if (node.status().applied >= index) return;
  await new Promise<void>((resolve) => {
    const off = node.onApplied((at) => {
      if (at < index) return;
      off();
      resolve();
    });
  });
}

async function setVoters(voters: readonly number[]): Promise<void> {
  const change = () => running().node.changeConfiguration({ voters: voters.map(toReplicaId), learners: [] });
  while ((await change()).kind !== 'applied') await delay(POLL_MS);
}

async function stop(): Promise<void> {
  const { node, transport, storage } = running();
  await node.close();
  await transport.close();
  await storage.close();
}

serve<MemberCalls>({
  start,
  setVoters,
  state: () => {
    const { role, leader, applied: index } = running().node.status();
    return { role, leader, applied: index };
  },
  applied,
  commits: (options) => load(options, commit),
  reads: (options) => load(options, read),
  firstCommit,
  giveUp: () => {
    isAsking = false;
  },
  traffic,
  stop,
});
