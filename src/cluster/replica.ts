/**
 * This host's replica of the cluster: binds the consensus node, its transport and the subnet state machine together,
 * and says who may speak. Reads are local and need no quorum; writes go through `propose`. Knows nothing of the kernel.
 *
 * Survives: a peer whose record has not arrived here yet (its certificate vouches for it), a removed peer that still
 * dials (its record is gone and its replica id retired), a CA key that comes later than the vote.
 */
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { RaftStatus } from '../../raft/core/raft.ts';
import type { Configuration, ReplicaId } from '../../raft/core/types.ts';
import { RaftNode } from '../../raft/runtime/node.ts';
import type { RaftStorage } from '../../raft/storage/storage.ts';
import { TransportError } from '../../raft/transport/errors.ts';
import { PeerTransport } from '../../raft/transport/peer-transport.ts';
import type { Caller } from '../../raft/transport/session.ts';
import type { Endpoint } from '../../raft/transport/transport.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { Ip } from '../net/ip.ts';
import type { NodeRef } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import type { Sender } from '../subnet/authority.ts';
import { clusterTimeAt, observeStamp, type TimeAnchor } from '../subnet/cluster-time.ts';
import type { CommandResult } from '../subnet/command-result.ts';
import { type ClusterTime, type NodeId, toClusterTime } from '../subnet/lease.ts';
import { type ClusterState, isRetired, memberByReplica } from '../subnet/state.ts';
import { SubnetStateMachine } from '../subnet/state-machine.ts';
import type { AdmissionParts } from './admission.ts';
import { certificateNames } from './certificate-authority.ts';
import type { KnownMember, Membership } from './cluster-file.ts';
import type { FoundingRound } from './founding.ts';
import type { Identity } from './identity.ts';
import { type LeaderCallParts, readIndexAnywhere, transferAnywhere } from './leader-calls.ts';
import { Leadership } from './leadership.ts';
import { type Applied, type Attempt, checkedBytes, type Proposal, proposeAnywhere } from './proposer.ts';
import { encodeRpc, type ProbeAnswer, parseRpcAnswer, type RpcAnswer, type RpcRequest } from './rpc.ts';
import { answerRpc } from './rpc-server.ts';

export interface ReplicaOptions {
  readonly identity: Identity;
  readonly membership: Membership;
  readonly caKey: string | null;
  readonly storage: RaftStorage;
  readonly bind: Endpoint;
  /** Announced; also what another `init` is told. */
  readonly address: Ip;
  /** While this host founds a cluster: the hosts that its `init` names. */
  readonly founding: readonly Ip[] | null;
  readonly log: Log;
  /** The replica cannot go on: it has stopped voting and acknowledging. */
  readonly onFatal: (error: Error) => void;
}

/** A host that leaves still gets the answer that it may go. */
const FAREWELL_MS = 500;

export class Replica implements AsyncDisposable {
  readonly id: ReplicaId;
  readonly #options: ReplicaOptions;
  readonly #machine: SubnetStateMachine;
  readonly #transport: PeerTransport;
  readonly #node: RaftNode<CommandResult>;
  readonly #leadership: Leadership;
  readonly #caPublicKey: KeyObject;
  readonly #listeners = new Set<() => void>();
  readonly #leaving = new Set<NodeId>();
  #farewell: NodeJS.Timeout | null = null;
  /** Whom this replica may be talking to: those who are not wanted any more are cut after the farewell. */
  #connected: readonly ReplicaId[] = [];
  #foundingRound: FoundingRound = 'initialising';
  #caKey: string | null;
  #anchor: TimeAnchor;
  /** When a leader was last known. */
  #currentAtMs: number = performance.now();

  /** Rejects with StorageDamagedError when the disk cannot be believed, TsflannelError when the port is taken. */
  static async start(options: ReplicaOptions): Promise<Replica> {
    const machine = new SubnetStateMachine();
    const box: { replica?: Replica } = {};
    const transport = new PeerTransport({
      self: options.membership.replicaId,
      context: Buffer.from(`${options.membership.clusterId}/${options.membership.epoch}`),
      bind: options.bind,
      tls: tlsOf(options),
      endpointsOf: (replica) => box.replica?.endpointsOf(replica) ?? [],
      authenticate: (certificate, claimed) => box.replica?.isReplica(certificate, claimed) ?? false,
      onRequest: async (caller, payload) => {
        if (box.replica === undefined) throw new Error('not started yet');
        return await box.replica.#answer(caller, payload);
      },
      log: (event, fields) => options.log.debug(event, 'Transport.', fields),
    });
    const node = await RaftNode.start<CommandResult>({
      id: options.membership.replicaId,
      storage: options.storage,
      transport,
      stateMachine: machine,
      onFatal: options.onFatal,
    });
    const replica = new Replica(options, machine, transport, node);
    box.replica = replica;
    try {
      await transport.listen();
    } catch (error) {
      await replica.close();
      throw portRefusal(options.bind, error);
    }
    replica.#follow();
    return replica;
  }

  private constructor(
    options: ReplicaOptions,
    machine: SubnetStateMachine,
    transport: PeerTransport,
    node: RaftNode<CommandResult>,
  ) {
    this.id = options.membership.replicaId;
    this.#options = options;
    this.#machine = machine;
    this.#transport = transport;
    this.#node = node;
    this.#leadership = new Leadership({
      node,
      isConnected: (replica) => this.hears(replica),
      nameOf: (replica) => this.#refOf(replica).name,
    });
    this.#caPublicKey = new X509Certificate(options.membership.caCert).publicKey;
    this.#caKey = options.caKey;
    this.#anchor = { time: machine.state?.time ?? toClusterTime(0), monotonicMs: performance.now() };
  }

  /** Null until the bootstrap entry or a snapshot has arrived. */
  get state(): ClusterState | null {
    return this.#machine.state;
  }

  get clusterTime(): ClusterTime {
    return clusterTimeAt(this.#anchor, performance.now());
  }

  get raft(): RaftStatus {
    return this.#node.status();
  }

  get caKey(): string | null {
    return this.#caKey;
  }

  /** Called after the replicated state, the role, the leader or the configuration may have changed. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Which replicas are connected, and how long ago each was heard. */
  peers(): ReturnType<PeerTransport['peers']> {
    return this.#transport.peers();
  }

  /** Gets a command into the log. Throws TsflannelError: no quorum (4) when the signal aborts, or a refusal. */
  async propose(proposal: Proposal, signal: AbortSignal): Promise<Applied> {
    return await proposeAnywhere(
      {
        self: this.id,
        leader: () => this.raft.leader,
        proposeHere: (here) => this.proposeHere(here),
        request: (to, payload, requestSignal) =>
          this.#transport.request(to, payload, { signal: requestSignal }),
        noQuorum: () => new TsflannelError(this.noQuorum()),
      },
      proposal,
      signal,
    );
  }

  /** On the leader: stamps the command and waits until it is applied here. */
  async proposeHere(proposal: Proposal): Promise<Attempt> {
    return proposal.kind === 'member-remove' ? await this.#remove(proposal) : await this.#append(proposal);
  }

  /** Hosts whose removal is under way on this leader: they are not to be made voters or learners again. */
  get leaving(): ReadonlySet<NodeId> {
    return this.#leaving;
  }

  async changeConfiguration(target: Pick<Configuration, 'voters' | 'learners'>): Promise<void> {
    await this.#node.changeConfiguration(target);
  }

  /** What another member answers; undefined when it cannot be asked now. */
  async ask(to: ReplicaId, request: RpcRequest, signal: AbortSignal): Promise<RpcAnswer | undefined> {
    try {
      return parseRpcAnswer(await this.#transport.request(to, encodeRpc(request), { signal }));
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      return undefined;
    }
  }

  /** Has asked the hosts that `init` names once; says so to those who ask from now on. */
  decideFounding(): void {
    this.#foundingRound = 'founding';
  }

  /** Is it the key of this cluster's CA? */
  isCaKey(caKey: string): boolean {
    try {
      return createPublicKey(caKey).equals(this.#caPublicKey);
    } catch {
      return false; // not a key
    }
  }

  setCaKey(caKey: string | null): void {
    this.#caKey = caKey;
  }

  /** Where a replica may be reached: by its record, else as it was when this host joined. */
  endpointsOf(replica: ReplicaId): readonly Endpoint[] {
    const member = this.state === null ? undefined : memberByReplica(this.state, replica);
    if (member !== undefined) return [{ host: member.address, port: member.port }];
    return this.#options.membership.known
      .filter((known) => known.replicaId === replica)
      .map((known) => known.endpoint);
  }

  /** Is the holder of this certificate's key that replica? */
  isReplica(certificate: X509Certificate, claimed: ReplicaId): boolean {
    const { state } = this;
    const key = certificate.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    const member = state === null ? undefined : memberByReplica(state, claimed);
    if (member !== undefined) return member.publicKey === key;
    if (state !== null && isRetired(state, claimed)) return false;
    // A member whose record is still on its way to us: the leader signed its names when the log admitted it.
    const names = certificateNames(certificate);
    const { clusterId, epoch } = this.#options.membership;
    return (
      names !== undefined &&
      names.clusterId === clusterId &&
      names.epoch === epoch &&
      names.replicaId === claimed &&
      certificate.verify(this.#caPublicKey)
    );
  }

  /** The voters that this replica does not hear. */
  missingVoters(): readonly NodeRef[] {
    return this.#voters()
      .filter((voter) => voter !== this.id && !this.hears(voter))
      .map((voter) => this.#refOf(voter));
  }

  hears(replica: ReplicaId): boolean {
    return this.peers().some((peer) => peer.replica === replica && peer.connected);
  }

  /** The peers that datagrams do not reach. */
  udpBlocked(): readonly { readonly name: string; readonly port: number }[] {
    return this.peers().flatMap(({ replica, datagrams, endpoint }) =>
      datagrams === 'blocked' && endpoint !== null
        ? [{ name: this.#refOf(replica).name, port: endpoint.port }]
        : [],
    );
  }

  /** How long ago this replica last knew its state to be the leader's. */
  staleMs(): number {
    const { leader } = this.raft;
    if (leader === null) return Math.round(performance.now() - this.#currentAtMs);
    return 0;
  }

  noQuorum(): ReturnType<typeof refuse> {
    const missing = this.missingVoters();
    const detail =
      missing.length === 0
        ? 'no leader is known'
        : `not heard: ${missing.map(({ name }) => name).join(', ')}`;
    return refuse(
      'no-quorum',
      EXIT.noQuorum,
      `The cluster has no quorum for a change (${detail}).`,
      'Bring the missing hosts back; containers and running leases are not affected.',
    );
  }

  async close(): Promise<void> {
    if (this.#farewell !== null) clearTimeout(this.#farewell);
    await this.#node.close();
    await this.#transport.close();
    await this.#options.storage.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Resolves when the local state shows every write that was acknowledged, anywhere, before the call. */
  async readBarrier(signal: AbortSignal): Promise<void> {
    const index = await readIndexAnywhere(this.#leaderCalls(), signal);
    if (!(await this.#leadership.appliedUpTo(index, signal))) throw new TsflannelError(this.noQuorum());
  }

  /** Lets another voter lead: `target`, or the one that is nearest to it. Resolves with who leads then. */
  async transferLeadership(target: ReplicaId | null, signal: AbortSignal): Promise<ReplicaId> {
    return await transferAnywhere(this.#leaderCalls(), target, signal);
  }

  /** Leader only: steps aside for a voter that can go on at once. False when there is none, or it did not take over. */
  async stepAside(): Promise<boolean> {
    return (await this.#leadership.handOver(null)).kind === 'transferred';
  }

  #leaderCalls(): LeaderCallParts {
    return {
      self: this.id,
      leader: () => this.raft.leader,
      answerHere: (request) =>
        request.method === 'read-index'
          ? this.#leadership.readIndex()
          : this.#leadership.handOver(request.target),
      ask: (to, request, signal) => this.ask(to, request, signal),
      noQuorum: () => new TsflannelError(this.noQuorum()),
    };
  }

  async #append(proposal: Proposal): Promise<Attempt> {
    const outcome = await this.#node.propose(
      checkedBytes({ ...proposal, time: this.clusterTime }, this.state),
    );
    if (outcome.kind !== 'applied') return { kind: 'again' };
    const { index, result } = outcome;
    this.#options.log.debug('command-applied', `A command is applied: ${result.kind}.`, { index });
    return { kind: 'applied', index, result };
  }

  /**
   * A voter stops voting before its record goes: once the record is gone nobody listens to it, and a configuration
   * that still needs its vote could never be left.
   */
  async #remove(proposal: Proposal & { kind: 'member-remove' }): Promise<Attempt> {
    const target = this.state?.members.get(proposal.nodeId)?.replicaId;
    // Whoever leads next removes this host; if nobody takes over, this leader steps down when its removal is committed.
    if (target === this.id && (await this.stepAside())) return { kind: 'again' };
    const { voters, learners } = this.raft.configuration;
    this.#leaving.add(proposal.nodeId);
    try {
      if (target !== undefined && voters.includes(target)) {
        const others = voters.filter((voter) => voter !== target);
        const outcome = await this.#node.changeConfiguration({ voters: others, learners });
        if (outcome.kind !== 'applied') return { kind: 'again' };
      }
      return await this.#append(proposal);
    } finally {
      this.#leaving.delete(proposal.nodeId);
    }
  }

  #follow(): void {
    this.#node.onTransition(() => this.#changed());
    this.#node.onApplied(() => this.#changed());
    this.#changed();
  }

  #changed(): void {
    const { state } = this;
    if (this.raft.leader !== null) this.#currentAtMs = performance.now();
    if (state !== null) this.#anchor = observeStamp(this.#anchor, state.time, performance.now());
    const wanted = this.#wantedPeers();
    this.#transport.setPeers([...new Set([...wanted, ...this.#connected])]);
    this.#farewell ??= setTimeout(() => this.#cutOthers(), FAREWELL_MS);
    for (const listener of this.#listeners) listener();
  }

  #cutOthers(): void {
    this.#farewell = null;
    this.#connected = this.#wantedPeers();
    this.#transport.setPeers(this.#connected);
    this.#transport.reauthenticate();
  }

  /** Voters keep sessions with everybody, so that any of them can lead at once; learners with voters only. */
  #wantedPeers(): readonly ReplicaId[] {
    const { role, configuration } = this.raft;
    const all = new Set([...this.#voters(), ...(role === 'learner' ? [] : configuration.learners)]);
    all.delete(this.id);
    return [...all];
  }

  /** Before the log has arrived, the voters that the answer to our join named. */
  #voters(): readonly ReplicaId[] {
    const { voters, outgoing } = this.raft.configuration;
    if (voters.length === 0) return this.#options.membership.known.map((known) => known.replicaId);
    return [...new Set([...voters, ...outgoing])];
  }

  #refOf(replica: ReplicaId): NodeRef {
    const member = this.state === null ? undefined : memberByReplica(this.state, replica);
    if (member !== undefined) return { id: member.nodeId, name: member.name };
    const known = this.#options.membership.known.find((one) => one.replicaId === replica);
    return { id: known?.nodeId ?? '', name: known?.endpoint.host ?? `replica ${replica}` };
  }

  async #answer(caller: Caller, payload: Uint8Array): Promise<Uint8Array> {
    const parts = {
      probe: () => this.#probe(),
      admission: () => this.#admission(),
      notLeader: () => ({ kind: 'not-leader', leader: this.raft.leader }) as const,
      senderOf: (who: Caller) => this.#senderOf(who),
      caKey: () => this.#caKey,
      readIndex: () => this.#leadership.readIndex(),
      transferLeadership: (target: ReplicaId | null) => this.#leadership.handOver(target),
    };
    return await answerRpc(parts, caller, payload);
  }

  #probe(): ProbeAnswer {
    const { role, leader } = this.raft;
    return {
      kind: 'probe',
      state: this.#options.founding !== null && this.state === null ? this.#foundingRound : 'member',
      clusterId: this.#options.membership.clusterId,
      epoch: this.#options.membership.epoch,
      address: this.#options.address,
      peers: this.#options.founding ?? [],
      isLeader: role === 'leader' && this.state !== null,
      leader: leader === null ? null : (this.endpointsOf(leader)[0] ?? null),
      missing: this.missingVoters().map(({ name }) => name),
    };
  }

  #admission(): AdmissionParts | null {
    const { state } = this;
    if (state === null || this.raft.role !== 'leader') return null;
    return {
      state,
      now: this.clusterTime,
      caCert: this.#options.membership.caCert,
      caKey: this.#caKey,
      voters: this.knownVoters(),
      isHeard: (replica) => this.hears(replica),
      proposeHere: (proposal) => this.proposeHere(proposal),
    };
  }

  /** The voters as the next start, or a joiner, finds them. */
  knownVoters(): readonly KnownMember[] {
    const { state } = this;
    if (state === null) return this.#options.membership.known;
    return this.#voters().flatMap((voter) => {
      const member = memberByReplica(state, voter);
      if (member === undefined) return [];
      const endpoint = { host: member.address, port: member.port };
      return [{ replicaId: voter, nodeId: member.nodeId, endpoint }];
    });
  }

  #senderOf(caller: Caller): Sender | undefined {
    if (caller.replica === null || this.state === null) return undefined;
    const member = memberByReplica(this.state, caller.replica);
    if (member === undefined) return undefined;
    const role = this.raft.configuration.voters.includes(caller.replica) ? 'voter' : 'learner';
    return { nodeId: member.nodeId, role };
  }
}

function tlsOf({ identity, membership }: ReplicaOptions): { key: string; cert: string; ca: string } {
  const key = identity.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  return { key, cert: `${membership.nodeCert.trim()}\n${membership.caCert}`, ca: membership.caCert };
}

function portRefusal(bind: Endpoint, cause: unknown): TsflannelError {
  const errno = cause instanceof Error ? cause.cause : undefined;
  const code = errno instanceof Error && 'code' in errno ? String(errno.code) : String(cause);
  const reason = code === 'EADDRINUSE' ? 'another program uses it' : code;
  return new TsflannelError(
    refuse(
      'port-unavailable',
      EXIT.failed,
      `Port ${bind.port} (UDP and TCP) cannot be opened: ${reason}.`,
      'Stop the other program, or give another --port.',
    ),
    { cause },
  );
}
