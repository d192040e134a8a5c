/**
 * One member as a process of its own: the library as a program would use it, over LevelDB, TLS and datagrams, with a
 * key-value store on top that is served to the harness on stdin and stdout. It ends when its stdin does.
 *
 *     node member.js CONFIG_FILE create|open
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  bootstrapState,
  type Configuration,
  type ConfigurationOutcome,
  EMPTY_STATE,
  type InitialState,
  LevelStorage,
  PeerTransport,
  RaftNode,
  toReplicaId,
} from '../../raft/index.ts';
import { type KeyValueOp, type KeyValueResult, keyValueModel } from '../../raft/sim/key-value-model.ts';
import { encodeOp, KeyValueMachine } from './key-value-machine.ts';
import type { Answer, MemberConfig, MemberState, Membership, Numbered, Request } from './protocol.ts';

const CLUSTER = 'linearizability';

/** Elections in a fraction of a second, so that many fit into a test. */
const OPTIONS = {
  heartbeatMs: 50,
  learnerHeartbeatMs: 100,
  electionTimeoutMsMin: 300,
  electionTimeoutMsMax: 600,
  trailingEntries: 100,
};

interface Member {
  readonly node: RaftNode<KeyValueResult>;
  readonly machine: KeyValueMachine;
  readonly config: MemberConfig;
}

/** All first members begin with the same committed entry, which names them. */
function beginning(voters: readonly number[]): InitialState {
  const [first] = voters;
  if (first === undefined) return EMPTY_STATE;
  const configuration: Configuration = { voters: voters.map(toReplicaId), outgoing: [], learners: [] };
  const { entries, ...state } = bootstrapState(toReplicaId(first));
  return {
    ...state,
    entries: entries.map((entry) => (entry.kind === 'configuration' ? { ...entry, configuration } : entry)),
  };
}

async function start(config: MemberConfig, isNew: boolean): Promise<Member> {
  const { directory, peers, tls } = config;
  const id = toReplicaId(config.id);
  const identity = { cluster: CLUSTER, replica: id };
  const storage = isNew
    ? await LevelStorage.create(directory, identity, beginning(config.voters))
    : await LevelStorage.open(directory, identity);
  const endpointsOf = (replica: number) => peers.filter((peer) => peer.id === replica);
  const keys = new Map(peers.map((peer) => [peer.id, peer.publicKey]));
  const [bind] = endpointsOf(id);
  if (bind === undefined) throw new Error(`member ${id} is not among its peers`);
  const transport = new PeerTransport({
    self: id,
    context: Buffer.from(CLUSTER),
    bind,
    tls,
    endpointsOf,
    authenticate: ({ publicKey }, claimed) =>
      publicKey.export({ type: 'spki', format: 'der' }).toString('base64') === keys.get(claimed),
    onRequest: () => Promise.reject(new Error('members ask each other nothing')),
  });
  await transport.listen();
  const machine = new KeyValueMachine();
  const node = await RaftNode.start({
    id,
    options: OPTIONS,
    storage,
    transport,
    stateMachine: machine,
    onFatal: (error) => {
      throw error;
    },
  });
  transport.setPeers(peers.map((peer) => toReplicaId(peer.id)));
  return { node, machine, config };
}

function operate(member: Member, op: KeyValueOp): Promise<Answer> | Answer {
  const { node, machine, config } = member;
  if (op.kind === 'get') return read(member, op.key);
  if (config.mistake !== 'early-answers') return propose(node, op);
  propose(node, op).catch(() => undefined);
  return { kind: 'done', result: keyValueModel.step(machine.get(op.key), op).result };
}

/** A read that is lost may be asked again: it changes nothing. */
async function read({ node, machine, config }: Member, key: string): Promise<Answer> {
  const outcome = config.mistake === 'stale-reads' ? { kind: 'ready' } : await node.readIndex();
  if (outcome.kind === 'ready') return { kind: 'done', result: machine.get(key) };
  return { kind: 'refused', leader: 'leader' in outcome ? outcome.leader : null };
}

async function propose(node: RaftNode<KeyValueResult>, op: KeyValueOp): Promise<Answer> {
  const outcome = await node.propose(encodeOp(op));
  switch (outcome.kind) {
    case 'applied':
      return { kind: 'done', result: outcome.result };
    case 'lost':
      return { kind: 'lost' };
    case 'not-leader':
      return { kind: 'refused', leader: outcome.leader };
    default:
      return { kind: 'refused', leader: null };
  }
}

function stateOf({ node, machine }: Member): MemberState {
  const { role, term, leader, applied, last, configuration } = node.status();
  const { voters, learners, outgoing } = configuration;
  return {
    ...{ role, term, leader, applied, voters, learners },
    last: last.index,
    isSettled: outgoing.length === 0,
    digest: machine.digest(),
  };
}

function answer(member: Member, request: Request): unknown {
  switch (request.kind) {
    case 'operate':
      return operate(member, request.op);
    case 'state':
      return stateOf(member);
    case 'configure':
      return configure(member.node, request.from, request.to);
    case 'transfer':
      return member.node.transferLeadership(toReplicaId(request.target));
  }
}

function configure(
  node: RaftNode<KeyValueResult>,
  from: Membership,
  to: Membership,
): Promise<ConfigurationOutcome> | ConfigurationOutcome {
  const { voters, learners } = node.status().configuration;
  if (`${voters} ${learners}` !== `${from.voters} ${from.learners}`) return { kind: 'in-progress' };
  return node.changeConfiguration({
    voters: to.voters.map(toReplicaId),
    learners: to.learners.map(toReplicaId),
  });
}

async function serve(member: Member): Promise<void> {
  const reply = async ({ number, body }: Numbered<Request>): Promise<void> => {
    const line: Numbered<unknown> = { number, body: await answer(member, body) };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  };
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    reply(JSON.parse(line)).catch((error: unknown) => {
      throw error;
    });
  });
  lines.on('close', () => process.exit(0));
}

const [file = '', mode] = process.argv.slice(2);
await serve(await start(JSON.parse(readFileSync(file, 'utf8')), mode === 'create'));
