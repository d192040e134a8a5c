/**
 * One running agent: starts its parts in order and stops them in reverse. The data plane comes first and from the disk,
 * so that it is right before anybody was asked anything; the replica feeds it when it knows more. Whoever starts an
 * agent has the directory lock and hands over what it has opened; from then on the agent closes it.
 */

import { CaKeyKeeper } from '../cluster/ca-key-keeper.ts';
import type { Membership } from '../cluster/cluster-file.ts';
import { EpochWatch } from '../cluster/epoch-watch.ts';
import { LeaderDuties } from '../cluster/leader-duties.ts';
import { LeaseHolder } from '../cluster/lease-holder.ts';
import type { Replica } from '../cluster/replica.ts';
import { VotersKeeper } from '../cluster/voters-keeper.ts';
import type { AgentOptions } from '../config/agent-options.ts';
import { type NetworkConfig, networkFamilies } from '../config/network-config.ts';
import { serveControl } from '../control/server.ts';
import { engineSocket } from '../docker/engine-client.ts';
import { EngineWatcher } from '../docker/engine-watcher.ts';
import { engineFailure, engineProblems } from '../docker/problems.ts';
import { EXIT, type ExitCode, type Refusal, refuse, TsflannelError } from '../errors.ts';
import type { Firewall } from '../firewall/firewall.ts';
import type { NetlinkKernel } from '../netlink/kernel.ts';
import type { Problem } from '../observe/agent-facts.ts';
import { serveHealth } from '../observe/health-server.ts';
import type { Log } from '../observe/log.ts';
import { type LeaseSnapshot, type NodeId, subnetsOf } from '../subnet/lease.ts';
import { view } from '../subnet/lease-view.ts';
import { agentApi } from './agent-api.ts';
import { CacheWriter } from './cache-writer.ts';
import { Comeback } from './comeback.ts';
import { DataPlane } from './data-plane.ts';
import { dataFiles } from './directories.ts';
import type { FactSources } from './facts.ts';
import { HostChecks } from './host-checks.ts';
import type { HostWatcher } from './host-watcher.ts';
import type { PreviousSubnets } from './previous-subnets.ts';
import { describeSelf } from './self-description.ts';

export interface AgentParts {
  readonly dataDir: string;
  readonly runDir: string;
  readonly options: AgentOptions;
  readonly nodeId: NodeId;
  readonly membership: Membership;
  /** With a damaged database the data plane runs from the cache until the host has come back. */
  readonly replica: Replica | Comeback;
  readonly kernel: NetlinkKernel;
  readonly watcher: HostWatcher;
  readonly firewall: Firewall;
  readonly previous: PreviousSubnets;
  readonly log: Log;
  /** Aborted with the reason why no agent may run from this directory any more. */
  readonly disqualified: AbortSignal;
  /** Called at the very end: the lock and what else the starter holds. */
  readonly release: () => Promise<void>;
  /** The host has left the cluster: forget the membership. */
  readonly forget: () => Promise<void>;
}

export class Agent {
  /** The first moment at which Docker may start. */
  readonly ready: Promise<void>;
  readonly stopped: Promise<ExitCode>;
  readonly #parts: AgentParts;
  readonly #stack = new AsyncStack();
  readonly #dataPlane: DataPlane;
  readonly #hostChecks: HostChecks;
  /** Null while the host has not come back. */
  #replica: Replica | null;
  #membership: Membership;
  #holder: LeaseHolder | null = null;
  #epochWatch: EpochWatch | null = null;
  #engine: EngineWatcher | null = null;
  #markReady: () => void = () => undefined;
  #failReady: (error: Error) => void = () => undefined;
  #end: (code: ExitCode) => void = () => undefined;
  #stopping: Promise<void> | null = null;
  /** The cluster has let this host go: nothing may be started from its directory again. */
  #left = false;

  /** Resolves when all parts run; `ready` comes later. Throws TsflannelError, with everything closed again. */
  static async start(parts: AgentParts): Promise<Agent> {
    const agent = new Agent(parts);
    try {
      await agent.#start();
    } catch (error) {
      await agent.stop();
      throw error;
    }
    return agent;
  }

  private constructor(parts: AgentParts) {
    this.#parts = parts;
    this.ready = new Promise((resolve, reject) => {
      this.#markReady = resolve;
      this.#failReady = reject;
    });
    this.ready.catch(() => undefined); // who does not wait for it must not be ended by it
    this.stopped = new Promise((resolve, reject) => {
      this.#end = resolve;
      const { disqualified } = parts;
      const disqualify = (): void => reject(disqualified.reason);
      if (disqualified.aborted) disqualify();
      else disqualified.addEventListener('abort', disqualify, { once: true });
    });
    this.stopped.catch(() => undefined); // as above
    this.#replica = parts.replica instanceof Comeback ? null : parts.replica;
    this.#membership = parts.membership;
    const { nodeId, kernel, firewall, options, log } = parts;
    this.#dataPlane = new DataPlane({
      nodeId,
      kernel,
      firewall,
      agent: options,
      log,
      onChange: () => this.#checkReady(),
    });
    this.#hostChecks = new HostChecks({ dataPlane: this.#dataPlane, port: options.port, log });
  }

  get sources(): FactSources {
    const { options, nodeId, replica, watcher } = this.#parts;
    const damage = replica instanceof Comeback ? replica.problem : null;
    const refusal = this.#holder?.refusal ?? null;
    const newerEpoch = this.#epochWatch?.problem ?? null;
    return {
      agent: options,
      nodeId,
      membership: this.#membership,
      replica: this.#replica,
      dataPlane: this.#dataPlane,
      watcher,
      problems: [
        ...(damage === null ? [] : [damage]),
        ...(refusal === null ? [] : [{ ...refusal, severity: 'error' } as const]),
        ...(newerEpoch === null ? [] : [newerEpoch]),
        ...this.#hostChecks.problems,
        ...this.#engineProblems(),
      ],
    };
  }

  /** Within 5 s; idempotent. The kernel keeps everything. */
  async stop(code: ExitCode = EXIT.ok): Promise<void> {
    this.#stopping ??= this.#stack.dispose().finally(() => {
      this.#failReady(new TsflannelError(stoppedEarly()));
      this.#end(code);
    });
    await this.#stopping;
  }

  async #start(): Promise<void> {
    const { release, kernel, watcher, replica, runDir, log, options } = this.#parts;
    this.#stack.push(release);
    // When nothing holds the files any more.
    this.#stack.push(async () => (this.#left ? await this.#parts.forget() : undefined));
    this.#stack.push(async () => kernel.close());
    this.#stack.push(async () => watcher[Symbol.dispose]());
    this.#stack.push(() => this.#dataPlane.close());
    this.#stack.push(() => this.#hostChecks.close());
    this.#startEngine();
    this.#stack.push(async () => this.#replica?.close());
    if (replica instanceof Comeback) this.#stack.push(() => replica.close());
    const control = await serveControl(runDir, this.#api(), log);
    this.#stack.push(() => control.close());
    if (options.healthzPort !== 0) {
      const { healthzIp: ip, healthzPort: port } = options;
      const health = await serveHealth({ ip, port, isReady: () => this.#dataPlane.ready });
      this.#stack.push(() => health.close());
    }
    const cache = await this.#startDataPlane();
    if (replica instanceof Comeback)
      replica.start((back, membership) => this.#attach(back, membership, cache));
    else this.#attach(replica, this.#membership, cache);
  }

  /** Its start, its end and each new network of it are a reason to look at the rules. */
  #startEngine(): void {
    const engine = new EngineWatcher({
      socket: engineSocket(process.env),
      log: this.#parts.log,
      onChange: () => this.#dataPlane.setEngine(engine.facts),
    });
    this.#stack.push(() => engine[Symbol.asyncDispose]());
    this.#engine = engine;
  }

  #attach(replica: Replica, membership: Membership, cache: CacheWriter): void {
    this.#replica = replica;
    this.#membership = membership;
    if (this.#stopping !== null) return; // it is closed with the rest
    this.#followLog(replica, cache);
    this.#startDuties(replica, membership);
  }

  async #startDataPlane(): Promise<CacheWriter> {
    const { watcher, dataDir, nodeId, log, membership } = this.#parts;
    const cache = new CacheWriter(dataFiles(dataDir).leaseCache, membership, nodeId, log);
    this.#stack.push(() => cache.close());
    const cached = await cache.read();
    if (cached !== null) this.#take(cached);
    const followHost = (): void => {
      this.#dataPlane.setHost(watcher.selection?.host ?? null);
      this.#holder?.wake();
    };
    watcher.onChange(followHost);
    followHost();
    return cache;
  }

  #take(snapshot: LeaseSnapshot<NetworkConfig>): void {
    this.#parts.watcher.setFamilies(networkFamilies(snapshot.config));
    this.#dataPlane.setSnapshot(snapshot);
  }

  #followLog(replica: Replica, cache: CacheWriter): void {
    const { nodeId } = this.#parts;
    const followLog = (): void => {
      const { state } = replica;
      // After a start without quorum the cache may know more than the part of the log that is known to be committed.
      if (state === null || state.index < (this.#dataPlane.snapshot?.index ?? 0)) return;
      if (state.index === this.#dataPlane.snapshot?.index) return;
      const snapshot = view(state, nodeId);
      cache.write(snapshot);
      this.#take(snapshot);
    };
    replica.onChange(followLog);
    followLog();
  }

  #startDuties(replica: Replica, membership: Membership): void {
    const { dataDir, log, nodeId, options, watcher, previous } = this.#parts;
    const holder = new LeaseHolder({
      replica,
      nodeId,
      describe: () => describeSelf(options, nodeId, watcher.selection, replica.state),
      previous: () => (replica.state === null ? [] : previous.of(replica.state.config)),
      renewMarginMs: options.subnetLeaseRenewMarginMs,
      log,
    });
    this.#holder = holder;
    const keeper = new CaKeyKeeper(replica, dataDir, membership.epoch, log);
    const epochWatch = new EpochWatch(replica, membership, log);
    this.#epochWatch = epochWatch;
    const voters = new VotersKeeper(replica, dataDir, log);
    this.#stack.push(() => voters.close());
    const duties = [holder, new LeaderDuties(replica, log), keeper, epochWatch];
    this.#stack.push(async () => {
      for (const duty of duties) duty[Symbol.dispose]();
    });
  }

  #api(): ReturnType<typeof agentApi> {
    return agentApi({
      sources: () => this.sources,
      // After the answer has left.
      stop: () => void setImmediate(() => this.#stopAndLog()),
      left: () => {
        this.#left = true;
      },
    });
  }

  #stopAndLog(): void {
    this.stop().catch((error: unknown) => {
      this.#parts.log.error('stop-failed', 'The agent did not stop cleanly.', { err: error });
    });
  }

  #checkReady(): void {
    if (!this.#dataPlane.ready) return;
    this.#markReady();
    this.#hostChecks.look();
  }

  #engineProblems(): readonly Problem[] {
    const { facts = null, failure = null } = this.#engine ?? {};
    if (failure !== null) return [engineFailure(failure)];
    const { snapshot } = this.#dataPlane;
    if (facts === null || snapshot === null || snapshot.own === null) return [];
    const { config, own } = snapshot;
    return engineProblems(facts, {
      networks: [config.Network, config.IPv6Network].filter((network) => network !== undefined),
      leases: subnetsOf(own),
    });
  }
}

function stoppedEarly(): Refusal {
  return refuse(
    'stopped-early',
    EXIT.failed,
    'The agent was stopped before it was ready.',
    'Start it again with "tsflannel agent".',
  );
}

/** What was started, ended in reverse. One that fails to end does not keep the others from it. */
class AsyncStack {
  #ends: (() => Promise<void>)[] = [];

  push(end: () => Promise<void>): void {
    this.#ends.push(end);
  }

  async dispose(): Promise<void> {
    const errors: unknown[] = [];
    for (const end of this.#ends.splice(0).reverse()) {
      await end().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw new AggregateError(errors, 'the agent did not stop cleanly');
  }
}
