/** Runs the command line in this process: words in, what it printed and the exit code out. Nothing real is injected. */
import { PassThrough } from 'node:stream';
import type { CliDeps } from '../../../src/cli/context.ts';
import type {
  AgentStart,
  InitOptions,
  InitReady,
  JoinOptions,
  Launcher,
  Ready,
  Running,
  TeardownOptions,
} from '../../../src/cli/launcher.ts';
import { runCli } from '../../../src/cli/run.ts';
import type { ServiceManager } from '../../../src/cli/service-manager.ts';
import { parseNetworkConfig } from '../../../src/config/network-config.ts';
import type { ExitCode } from '../../../src/errors.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';

export interface CliResult {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions extends Partial<CliDeps> {
  readonly environment?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly isTTY?: boolean;
}

export async function cli(words: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const { environment = {}, isTTY = false } = options;
  const stdin = Object.assign(new PassThrough(), { isTTY });
  stdin.end(options.stdin ?? '');
  const code = await runCli(['node', 'tsflannel', ...words], {
    launcher: options.launcher ?? noLauncher,
    teardown: options.teardown ?? noTeardown,
    recovery: options.recovery ?? noLauncher,
    services: options.services ?? noServices,
    terminal: {
      stdin,
      stdout: { isTTY, write: (text: string) => (stdout += text) },
      stderr: { isTTY, write: (text: string) => (stderr += text) },
      environment,
    },
  });
  return { code, stdout, stderr };
}

/** The document of a failure. */
export function failure(result: CliResult): Record<string, unknown> {
  const { error } = JSON.parse(result.stdout);
  return error;
}

async function noLauncher(): Promise<never> {
  throw new Error('the daemon was loaded');
}

async function noTeardown(): Promise<never> {
  throw new Error('the host was torn down');
}

export const noServices: ServiceManager = {
  hasUnit: async () => false,
  enableAndStart: async () => {
    throw new Error('systemd was called');
  },
  stop: async () => {
    throw new Error('systemd was called');
  },
  disableAndStop: async () => {
    throw new Error('systemd was called');
  },
};

export const ready: Ready = {
  clusterId: '5f0c',
  node: {
    id: 'a'.repeat(32),
    name: 'host-a',
    publicIp: toIp('192.168.19.120'),
    publicIpv6: null,
    iface: 'enp0s3',
  },
  lease: {
    subnet: toCidr('10.2.99.0/24'),
    ipv6Subnet: null,
    mtu: 1450,
    expiresAt: '2026-11-23T10:00:00.000Z',
  },
  network: configOf('{"Network":"10.2.0.0/16","SubnetLen":24,"Backend":{"Type":"vxlan"}}'),
  previousSubnets: [],
  subnetFile: '/run/flannel/subnet.env',
};

export const initReady: InitReady = {
  ...ready,
  token: 'tsf1.0123456789.digest.secret',
  joinCommand: 'tsflannel join tsf1.0123456789.digest.secret 192.168.19.120',
};

function configOf(text: string): Ready['network'] {
  const result = parseNetworkConfig(text);
  if (!result.ok) throw new Error(result.refusal.text);
  return result.config;
}

/** What the daemon was asked to do. */
export interface Calls {
  readonly init: InitOptions[];
  readonly join: JoinOptions[];
  readonly agent: AgentStart[];
  readonly teardown: TeardownOptions[];
}

export function newCalls(): Calls {
  return { init: [], join: [], agent: [], teardown: [] };
}

/** An agent that is ready at once and stops by itself with 0. */
export function running<R extends Ready>(answer: R): Running<R> {
  return { ready: Promise.resolve(answer), stopped: Promise.resolve(0), stop: async () => undefined };
}

export function fakeLauncher(calls: Calls, overrides: Partial<Launcher> = {}): () => Promise<Launcher> {
  const launcher: Launcher = {
    async init(options) {
      calls.init.push(options);
      return running(initReady);
    },
    async join(options) {
      calls.join.push(options);
      return running(ready);
    },
    async agent(options) {
      calls.agent.push(options);
      return running(ready);
    },
    ...overrides,
  };
  return async () => launcher;
}
