/** Three processes, each one replica, on ports of 127.0.0.1: to start, to kill, and to ask who leads. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createTestAuthority } from '../support/certificates.ts';
import type { Address, MemberCalls, MemberConfig, MemberState } from './raft-calls.ts';
import { Worker } from './worker.ts';

export const REPLICAS = [1, 2, 3] as const;
const POLL_MS = 5;

/** Free a moment ago: good enough for a bench. */
export async function freeAddresses(): Promise<Address[]> {
  const servers = REPLICAS.map(() => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  for (const server of servers) server.close();
  return REPLICAS.map((replica, i) => ({ replica, port: ports[i] ?? 0 }));
}

export class RaftCluster {
  readonly #configs: ReadonlyMap<number, MemberConfig>;
  readonly #nodeArguments: readonly string[];
  readonly #members = new Map<number, Worker<MemberCalls>>();

  private constructor(configs: readonly MemberConfig[], nodeArguments: readonly string[]) {
    this.#configs = new Map(configs.map((config) => [config.replica, config]));
    this.#nodeArguments = nodeArguments;
  }

  /** Three voters, one of which leads. `nodeArguments` go to each process, a profiler's for one. */
  static async start(directory: string, nodeArguments: readonly string[]): Promise<RaftCluster> {
    const authority = await createTestAuthority();
    const tls = await Promise.all(REPLICAS.map((replica) => authority.issue(`replica ${replica}`)));
    const addresses = await freeAddresses();
    const members = addresses.map((address, i) => ({ ...address, publicKey: tls[i]?.publicKey ?? '' }));
    const configs = tls.map((identity, i): MemberConfig => {
      const replica = REPLICAS[i] ?? 0;
      const begin = replica === REPLICAS[0] ? 'first' : 'joining';
      return { replica, directory: join(directory, `replica-${replica}`), tls: identity, members, begin };
    });
    const cluster = new RaftCluster(configs, nodeArguments);
    await Promise.all(configs.map((config) => cluster.#start(config)));
    await cluster.member(REPLICAS[0]).call('setVoters', REPLICAS);
    await cluster.caughtUp();
    return cluster;
  }

  member(replica: number): Worker<MemberCalls> {
    const member = this.#members.get(replica);
    if (member === undefined) throw new Error(`replica ${replica} does not run`);
    return member;
  }

  get members(): readonly Worker<MemberCalls>[] {
    return [...this.#members.values()];
  }

  /** Waits until one leads and all follow it. */
  async leader(): Promise<number> {
    for (;;) {
      const states = await this.#states();
      const [first] = states;
      const isSettled = states.every(({ leader }) => leader !== null && leader === first?.leader);
      if (isSettled && first?.leader != null && this.#members.has(first.leader)) return first.leader;
      await delay(POLL_MS);
    }
  }

  /** Waits until every replica has applied what the leader has. */
  async caughtUp(): Promise<void> {
    const leader = await this.leader();
    const { applied } = await this.member(leader).call('state', null);
    await Promise.all(this.members.map((member) => member.call('applied', applied)));
  }

  async kill(replica: number): Promise<void> {
    const member = this.member(replica);
    this.#members.delete(replica);
    await member.kill();
  }

  async restart(replica: number): Promise<void> {
    const config = this.#configs.get(replica);
    if (config === undefined) throw new Error(`no replica ${replica}`);
    await this.#start({ ...config, begin: 'again' });
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.members.map(async (member) => {
        await member.call('stop', null);
        await member.end();
      }),
    );
  }

  #states(): Promise<MemberState[]> {
    return Promise.all(this.members.map((member) => member.call('state', null)));
  }

  async #start(config: MemberConfig): Promise<void> {
    const worker = new Worker<MemberCalls>('raft-member', this.#nodeArguments);
    await worker.call('start', config);
    this.#members.set(config.replica, worker);
  }
}
