/**
 * Members as separate processes on hosts of a lab, and everything that can be done to them: kill, stop, cut off, lose
 * packets. Does what it is told; who is hit when is decided elsewhere.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KeyValueOp } from '../../raft/sim/key-value-model.ts';
import type { Random } from '../../raft/sim/random.ts';
import { repositoryRoot } from '../lab/agent.ts';
import { run } from '../lab/command.ts';
import { eventually } from '../lab/eventually.ts';
import { type Host, Lab } from '../lab/lab.ts';
import { createTestAuthority } from '../support/certificates.ts';
import { Clients } from './clients.ts';
import { MemberProcess } from './member-process.ts';
import type { Answer, MemberConfig, MemberState, Mistake, PeerConfig, Request } from './protocol.ts';

const PORT = 7_400;
/** After this a client does not know what became of its operation. */
const ANSWER_MS_MAX = 2_000;
/** For a machine that has other things to do. */
const SETTLE_MS_MAX = 90_000;

export interface ClusterOptions {
  /** How many vote from the first entry on. */
  readonly voters: number;
  /** How many more may join. */
  readonly others?: number;
  /** Of every 100 packets that reach a host, TCP and UDP. */
  readonly lossPercent?: number;
  readonly mistake?: Mistake;
}

interface Member {
  readonly id: number;
  readonly host: Host;
  readonly configFile: string;
  readonly directory: string;
  process: MemberProcess | null;
}

export class Cluster implements AsyncDisposable {
  readonly ids: readonly number[];
  readonly #lab: Lab;
  readonly #members: ReadonlyMap<number, Member>;
  /** All that ever ran, to ask whether one failed. */
  readonly #processes = new Set<MemberProcess>();

  #lastServed: number | null = null;

  private constructor(lab: Lab, members: readonly Member[]) {
    this.#lab = lab;
    this.#members = new Map(members.map((member) => [member.id, member]));
    this.ids = [...this.#members.keys()];
  }

  /** Resolves when all voters run and one of them leads. */
  static async create(options: ClusterOptions): Promise<Cluster> {
    const { voters, others = 0, lossPercent = 0, mistake = null } = options;
    const lab = await Lab.create();
    try {
      const ids = Array.from({ length: voters + others }, (_, i) => i + 1);
      const first = ids.slice(0, voters);
      const cluster = new Cluster(lab, await makeMembers(lab, ids, first, mistake));
      await Promise.all(ids.map((id) => cluster.#prepareFirewall(id, lossPercent)));
      for (const id of ids) cluster.start(id, 'create');
      await cluster.settled(first);
      return cluster;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Who answered an operation last: most likely the leader. */
  get lastServed(): number | null {
    return this.#lastServed;
  }

  start(id: number, mode: 'create' | 'open'): void {
    const member = this.#member(id);
    if (member.process !== null) return;
    const script = join(
      repositoryRoot(dirname(fileURLToPath(import.meta.url))),
      'dist',
      'test',
      'linearizability',
      'member.js',
    );
    member.process = new MemberProcess(
      member.host.command([process.execPath, script, member.configFile, mode]),
    );
    this.#processes.add(member.process);
  }

  async kill(id: number): Promise<void> {
    const member = this.#member(id);
    const running = member.process;
    member.process = null;
    await running?.kill();
  }

  /** Of a member that does not run: its disk as it is now, to be put back later. */
  async keepDisk(id: number): Promise<void> {
    const { directory } = this.#member(id);
    await run(['cp', '-a', directory, `${directory}.kept`]);
  }

  /** Of a member that does not run. */
  async putBackDisk(id: number): Promise<void> {
    await this.loseDisk(id);
    const { directory } = this.#member(id);
    await run(['mv', `${directory}.kept`, directory]);
  }

  /** Of a member that does not run. */
  async loseDisk(id: number): Promise<void> {
    await run(['rm', '-r', this.#member(id).directory]);
  }

  /** Resolves with what a member printed last, once it has ended by itself, as it should. */
  async ended(id: number): Promise<string> {
    const member = this.#member(id);
    const { process } = member;
    await process?.exited;
    if (process?.failure == null) throw new Error(`member ${id} did not end by itself`);
    member.process = null;
    this.#processes.delete(process);
    return process.failure;
  }

  pause(id: number): void {
    this.#member(id).process?.pause();
  }

  resume(id: number): void {
    this.#member(id).process?.resume();
  }

  /** From now on, what `isCut` says and nothing else. */
  async cut(isCut: (from: number, to: number) => boolean): Promise<void> {
    await Promise.all(
      this.ids.map(async (to) => {
        const sources = this.ids.filter((from) => from !== to && isCut(from, to));
        const addresses = sources.map((from) => this.#member(from).host.address);
        const add = addresses.length === 0 ? '' : `add element inet faults cut { ${addresses.join(', ')} }\n`;
        await this.#nft(to, `flush set inet faults cut\n${add}`);
      }),
    );
  }

  /** Everybody runs, and hears everybody but for the loss. */
  async heal(): Promise<void> {
    await this.cut(() => false);
    for (const id of this.ids) {
      this.resume(id);
      this.start(id, 'open');
    }
  }

  clients(random: Random): Clients {
    return new Clients(this.ids, (id, op) => this.#operate(id, op), random);
  }

  async ask<T>(id: number, request: Request): Promise<T | null> {
    return (await this.#member(id).process?.ask<T>(request, ANSWER_MS_MAX)) ?? null;
  }

  state(id: number): Promise<MemberState | null> {
    return this.ask(id, { kind: 'state' });
  }

  /** Resolves with the leader once all of these follow it, have applied the whole of the same log and hold the same. */
  settled(ids: readonly number[]): Promise<number> {
    return eventually(
      `members ${ids.join(', ')} follow one leader and hold the same`,
      async () => {
        const failures = this.failures();
        if (failures.length > 0) throw new Error(failures.join('\n'));
        return agreedLeader(await Promise.all(ids.map((id) => this.state(id))));
      },
      SETTLE_MS_MAX,
    );
  }

  /** What members printed that ended by themselves, which none should. */
  failures(): readonly string[] {
    return [...this.#processes].flatMap(({ failure }) => failure ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.ids.map((id) => this.kill(id)));
    await this.#lab[Symbol.asyncDispose]();
  }

  async #operate(id: number, op: KeyValueOp): Promise<Answer> {
    const { process } = this.#member(id);
    if (process === null) return { kind: 'refused', leader: null };
    const answer = await process.ask<Answer>({ kind: 'operate', op }, ANSWER_MS_MAX);
    if (answer?.kind === 'done') this.#lastServed = id;
    return answer ?? { kind: 'lost' };
  }

  #member(id: number): Member {
    const member = this.#members.get(id);
    if (member === undefined) throw new Error(`there is no member ${id}`);
    return member;
  }

  async #prepareFirewall(id: number, lossPercent: number): Promise<void> {
    await this.#nft(
      id,
      `table inet faults {
        set cut { type ipv4_addr; }
        chain input {
          type filter hook input priority 0;
          iifname "eth0" ip saddr @cut drop
          iifname "eth0" meta l4proto { tcp, udp } numgen random mod 100 < ${lossPercent} drop
        }
      }`,
    );
  }

  async #nft(id: number, input: string): Promise<void> {
    await this.#member(id).host.run(['nft', '-f', '-'], { input });
  }
}

async function makeMembers(
  lab: Lab,
  ids: readonly number[],
  voters: readonly number[],
  mistake: Mistake | null,
): Promise<Member[]> {
  const l2 = await lab.l2('net');
  const authority = await createTestAuthority();
  const made = await Promise.all(
    ids.map(async (id) => {
      const host = await lab.host(`m${id}`, { l2, address: `10.99.1.${10 + id}/24` });
      return { id, host, tls: await authority.issue(`member ${id}`) };
    }),
  );
  const peers: PeerConfig[] = made.map(({ id, host, tls }) => {
    return { id, host: host.address, port: PORT, publicKey: tls.publicKey };
  });
  return made.map(({ id, host, tls }) => {
    const directory = join(host.directory, 'raft');
    const configFile = join(host.directory, 'config.json');
    const config: MemberConfig = {
      ...{ id, directory, tls, peers, mistake },
      voters: voters.includes(id) ? voters : [],
    };
    writeFileSync(configFile, JSON.stringify(config));
    return { id, host, configFile, directory, process: null };
  });
}

/** Undefined while they differ in anything. */
function agreedLeader(states: readonly (MemberState | null)[]): number | undefined {
  const [first] = states;
  if (first == null || first.leader === null || !first.isSettled) return undefined;
  const agree = states.every((state) => {
    if (state === null) return false;
    const { term, leader, last, applied, digest } = state;
    return (
      term === first.term &&
      leader === first.leader &&
      last === first.last &&
      applied === last &&
      digest === first.digest
    );
  });
  return agree ? first.leader : undefined;
}
