/**
 * The real tsflannel in a host of the lab: the built executable, driven by its command line as a user would, with
 * directories of its own. Owns the agent's process and nothing of its workings: what it knows of the agent it reads
 * from stdout, exit codes and subnet.env.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cidrOf } from '../../src/net/cidr.ts';
import { ipAdd, toIp } from '../../src/net/ip.ts';
import type { Program, RunOptions, RunResult } from './command.ts';
import type { Container, Host, Lab } from './lab.ts';

/** As the unit in deploy/ starts it. */
const NODE_FLAGS = ['--optimize-for-size', '--max-semi-space-size=2'];

export interface InitResult {
  readonly clusterId: string;
  readonly token: string;
  readonly joinCommand: string;
}

export interface Peer {
  readonly id: string;
  readonly name: string;
  readonly publicIp: string;
  readonly subnet: string | null;
  readonly ipv6Subnet: string | null;
  readonly path: string;
}

export interface Status {
  readonly health: string;
  readonly problems: readonly { readonly code: string; readonly text: string; readonly fix: string }[];
  readonly cluster: { readonly id: string };
  readonly node: {
    readonly id: string;
    readonly name: string;
    readonly publicIp: string | null;
    readonly publicIpv6: string | null;
    readonly iface: string;
  };
  readonly raft: {
    readonly role: string;
    readonly term: number;
    readonly commitIndex: number;
    readonly appliedIndex: number;
    readonly leader: { readonly id: string; readonly name: string } | null;
    readonly voters: number;
    readonly learners: number;
  };
  readonly lease: {
    readonly subnet: string | null;
    readonly ipv6Subnet: string | null;
    readonly mtu: number;
  } | null;
  readonly routes: { readonly desired: number; readonly installed: number; readonly foreign: number };
  readonly peers: readonly Peer[];
}

export interface Member {
  readonly id: string;
  readonly name: string;
  readonly publicIp: string;
  readonly role: 'voter' | 'learner';
  readonly leader: boolean;
}

/** A failure as `--json` prints it. */
export interface Failure {
  readonly error: {
    readonly code: string;
    readonly exitCode: number;
    readonly text: string;
    readonly fix: string;
  };
}

export class Agent {
  readonly host: Host;
  readonly dataDir: string;
  readonly runDir: string;
  readonly subnetFile: string;
  readonly env: Readonly<Record<string, string>>;
  #program: Program | undefined;

  constructor(host: Host) {
    this.host = host;
    this.dataDir = join(host.directory, 'data');
    this.runDir = join(host.directory, 'run');
    this.subnetFile = join(host.directory, 'subnet.env');
    this.env = {
      TSFLANNEL_DATA_DIR: this.dataDir,
      TSFLANNEL_RUN_DIR: this.runDir,
      TSFLANNEL_SUBNET_FILE: this.subnetFile,
      TSFLANNEL_NAME: host.name,
      // That of the host, and never the machine's own.
      DOCKER_HOST: `unix://${join(host.directory, 'docker.sock')}`,
      NO_COLOR: '1',
    };
  }

  /** The process that init, join or agent started last. */
  get program(): Program {
    if (this.#program === undefined) throw new Error(`no agent was started on ${this.host.name}`);
    return this.#program;
  }

  /** Runs one command to its end, whatever the exit code. */
  cli(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.host.tryRun(this.commandLine(args), { ...options, env: { ...this.env, ...options.env } });
  }

  /** What `cli` runs, to be put below another program. */
  commandLine(args: readonly string[]): readonly string[] {
    return [process.execPath, ...NODE_FLAGS, executable(), ...args];
  }

  /** Runs one command that must succeed and parses its JSON document. */
  async json<T>(args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.cli([...args, '--json']);
    if (code !== 0)
      throw new Error(`tsflannel ${args.join(' ')} on ${this.host.name}: exit ${code}\n${stdout}${stderr}`);
    return JSON.parse(stdout);
  }

  /** Runs one command that must be refused, and gives exit code and sentence. */
  async refused(args: readonly string[], options: RunOptions = {}): Promise<Failure['error']> {
    const { code, stdout, stderr } = await this.cli([...args, '--json'], options);
    if (code === 0)
      throw new Error(`tsflannel ${args.join(' ')} on ${this.host.name} was not refused\n${stdout}`);
    if (!stdout.trim().startsWith('{')) throw new Error(`exit ${code}, no JSON document: ${stdout}${stderr}`);
    const failure: Failure = JSON.parse(stdout);
    if (failure.error.exitCode !== code) throw new Error(`exit ${code} but the document says ${stdout}`);
    return failure.error;
  }

  /** Starts the agent in the foreground; resolves when it is ready. */
  async init(args: readonly string[] = [], options: RunOptions = {}): Promise<InitResult> {
    return this.ready(this.start(['init', '--json', ...args], options));
  }

  async join(
    token: string,
    addresses: readonly string[],
    args: readonly string[] = [],
    options: RunOptions = {},
  ): Promise<void> {
    await this.ready(this.start(['join', token, ...addresses, '--json', ...args], options));
  }

  /** Starts an initialised host; resolves when it is ready. */
  async agent(args: readonly string[] = [], options: RunOptions = {}): Promise<void> {
    await this.ready(this.start(['agent', '--json', ...args], options));
  }

  /** Starts a command that stays, without waiting for anything. */
  start(args: readonly string[], options: RunOptions = {}): Program {
    this.#program = this.host.start(this.commandLine(args), {
      ...options,
      env: { ...this.env, ...options.env },
    });
    return this.#program;
  }

  async kill(): Promise<void> {
    await this.program.stop('SIGKILL');
  }

  /** As a service manager does; resolves with the exit code. */
  async stop(): Promise<number | null> {
    return this.program.stop('SIGTERM');
  }

  /** Degraded and no quorum are answers, too. */
  async status(): Promise<Status> {
    const { code, stdout, stderr } = await this.cli(['status', '--json']);
    if (code === null || ![0, 3, 4].includes(code))
      throw new Error(`status on ${this.host.name}: exit ${code} ${stdout}${stderr}`);
    return JSON.parse(stdout);
  }

  members(): Promise<readonly Member[]> {
    return this.json<readonly Member[]>(['members']);
  }

  /** Undefined while there is no file. */
  subnetEnv(): Readonly<Record<string, string>> | undefined {
    if (!existsSync(this.subnetFile)) return undefined;
    const lines = readFileSync(this.subnetFile, 'utf8').split('\n').filter(Boolean);
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }

  /** `10.5.42.1/24`, what Docker gets; of IPv6 where the network has nothing else. */
  get gateway(): string {
    const [gateway] = this.gateways;
    if (gateway === undefined) throw new Error(`${this.subnetFile} holds no subnet`);
    return gateway;
  }

  /** Of each family of the network. */
  get gateways(): readonly string[] {
    const variables = this.subnetEnv() ?? {};
    return [variables['FLANNEL_SUBNET'], variables['FLANNEL_IPV6_SUBNET']].filter((one) => one !== undefined);
  }

  /** The lease: a subnet of each family. */
  get subnets(): readonly string[] {
    return this.gateways.map((gateway) => {
      const [address = '', length] = gateway.split('/');
      return cidrOf(toIp(address), Number(length));
    });
  }

  /** `10.5.42.0/24`. */
  get subnet(): string {
    const [address = '', length] = this.gateway.split('/');
    return cidrOf(toIp(address), Number(length));
  }

  /** A plain container on this host, from subnet.env as Docker would make one. `index` 0 has the first address. */
  container(lab: Lab, index = 0): Promise<Container> {
    const [first, second] = this.gateways.map((gateway) => ({
      address: gateway.replace(/.*(?=\/)/, (own) => ipAdd(toIp(own), index + 1)),
      gateway,
    }));
    if (first === undefined) throw new Error(`${this.subnetFile} holds no subnet`);
    return lab.container(`c${this.host.name}${index}`, this.host, {
      ...first,
      ...(second && { second }),
      mtu: Number(this.subnetEnv()?.['FLANNEL_MTU']),
    });
  }

  /** The one document that init, join and agent print when they are ready; a refusal is one, too, and rejects. */
  async ready<T extends object>(program: Program): Promise<T> {
    const document = await program.until<T | Failure>(
      () => parseWhole(program.stdout),
      'it was ready',
      90_000,
    );
    if (!('error' in document)) return document;
    throw new Error(
      `${this.host.name} was refused: ${document.error.text} ${document.error.fix}${program.tail()}`,
    );
  }
}

/** What package.json names as the executable, of the last build. */
export function executable(): string {
  const root = repositoryRoot(dirname(fileURLToPath(import.meta.url)));
  const manifest: { bin: { tsflannel: string } } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const path = join(root, manifest.bin.tsflannel);
  if (!existsSync(path)) throw new Error(`${path} is missing; run npm run build`);
  return path;
}

/** This file runs from test/ under vitest and from dist/test/ once built. */
export function repositoryRoot(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : repositoryRoot(dirname(directory));
}

function parseWhole<T>(text: string): T | undefined {
  try {
    return JSON.parse(text);
  } catch {
    // Not all of it has arrived.
    return undefined;
  }
}
