/**
 * What the command line needs of the daemon, injected by main so that nothing here imports src/daemon: starting an
 * agent in this process (`init`, `join`, `agent`) and removing what agents put into this host (`down`, `leave`).
 * Expected refusals arrive as TsflannelError, thrown by the call itself or as the rejection of `ready`; a refused start
 * leaves the data directory as it was.
 */
import type { Address } from '../config/address.ts';
import type { RawAgentOptions } from '../config/agent-options.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import type { MemberRole } from '../control/answers.ts';
import type { ExitCode } from '../errors.ts';
import type { Cidr } from '../net/cidr.ts';
import type { NodeFacts, OwnLeaseFacts } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';

export interface Directories {
  readonly dataDir: string;
  readonly runDir: string;
}

export interface StartOptions extends Directories {
  /** Only what a flag or else the environment gave, and good values: it wins over what is stored and over defaults. */
  readonly given: RawAgentOptions;
  /** How long to wait for what others must answer; then a refusal that says who did not (exit 4 or 8). */
  readonly timeoutMs: number;
  readonly log: Log;
}

export interface InitOptions extends StartOptions {
  readonly peers: readonly Address[];
  readonly network: NetworkConfig;
}

export interface JoinOptions extends StartOptions {
  /** As the user has it, checked for its form only. */
  readonly token: string;
  readonly contacts: readonly Address[];
  /** Null leaves it to the token. */
  readonly role: MemberRole | null;
  /** The lease to ask for: at most one subnet of each family. */
  readonly subnets: readonly Cidr[];
}

export interface AgentStart extends StartOptions {
  readonly contacts: readonly Address[];
}

/** The facts a user sees when the agent is ready. */
export interface Ready {
  readonly clusterId: string;
  readonly node: NodeFacts;
  readonly lease: OwnLeaseFacts;
  readonly network: NetworkConfig;
  /** What this host had before, from its disk or from subnet.env. */
  readonly previousSubnets: readonly Cidr[];
  readonly subnetFile: string;
}

export interface InitReady extends Ready {
  readonly token: string;
  readonly joinCommand: string;
}

export interface Running<R extends Ready> {
  /** Firewall rules and subnet.env are in place and the route table has been synchronised once. */
  readonly ready: Promise<R>;
  /** The agent has ended by itself or by `stop`. Rejects with TsflannelError where there is something to say. */
  readonly stopped: Promise<ExitCode>;
  /** Ends it within 5 s; the kernel keeps what it has. Idempotent, also before `ready`. */
  stop(): Promise<void>;
}

export interface Launcher {
  init(options: InitOptions): Promise<Running<InitReady>>;
  join(options: JoinOptions): Promise<Running<Ready>>;
  agent(options: AgentStart): Promise<Running<Ready>>;
}

export interface TeardownOptions extends Directories {
  /** Also the data directory. */
  readonly purge: boolean;
  readonly log: Log;
}

export interface TeardownResult {
  /** What was there and is not any more, in words: `3 routes`, `device flannel.1`. */
  readonly removed: readonly string[];
}

/** Removes routes, devices and rules of ours from this host. No agent runs on the directories any more. Idempotent. */
export type Teardown = (options: TeardownOptions) => Promise<TeardownResult>;
