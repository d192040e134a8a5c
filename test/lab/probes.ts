/**
 * What the tests ask of the network: ping, TCP, the hops on the way, and what the kernel reports while something
 * happens. Each asks the kernel or a plain program, never the agent that is being tested.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from './command.ts';
import type { Namespace } from './namespace.ts';

export interface PingOptions {
  readonly count?: number;
  /** Between two packets. */
  readonly intervalMs?: number;
  /** Payload bytes; with `dontFragment` a probe of the path's MTU less 28. */
  readonly size?: number;
  readonly dontFragment?: boolean;
  readonly source?: string;
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly ttl: number | null;
  readonly rttMs: number | null;
}

export async function ping(from: Namespace, to: string, options: PingOptions = {}): Promise<PingResult> {
  return pingResult((await from.tryRun(pingCommand(to, options))).stdout);
}

/** A ping that runs while the test does something; `stop` gives what was lost meanwhile. */
export class RunningPing {
  readonly #program: Program;

  constructor(from: Namespace, to: string, options: PingOptions = {}) {
    this.#program = from.start(pingCommand(to, { intervalMs: 10, count: 1_000_000, ...options }));
  }

  /** Resolves once `count` answers have come since the start. */
  async answered(count: number): Promise<void> {
    const answers = (): number => this.#program.stdout.match(/ bytes from /g)?.length ?? 0;
    await this.#program.until(() => (answers() >= count ? true : undefined), `${count} answers`);
  }

  async stop(): Promise<PingResult> {
    await this.#program.stop('SIGINT');
    return pingResult(this.#program.stdout);
  }

  /** For a ping with a count: resolves when all are sent. */
  async done(): Promise<PingResult> {
    await this.#program.exited;
    return pingResult(this.#program.stdout);
  }
}

function pingCommand(to: string, options: PingOptions): readonly string[] {
  const { count = 1, intervalMs = 200, size, dontFragment, source } = options;
  return [
    ...['ping', '-n', '-c', `${count}`, '-i', `${intervalMs / 1000}`, '-W', '2'],
    ...(size === undefined ? [] : ['-s', `${size}`]),
    ...(dontFragment === true ? ['-M', 'do'] : []),
    ...(source === undefined ? [] : ['-I', source]),
    to,
  ];
}

function pingResult(output: string): PingResult {
  const number = (pattern: RegExp): number | null => {
    const [, digits] = pattern.exec(output) ?? [];
    return digits === undefined ? null : Number(digits);
  };
  return {
    sent: number(/(\d+) packets transmitted/) ?? 0,
    received: number(/(\d+) received/) ?? 0,
    ttl: number(/ ttl=(\d+)/),
    rttMs: number(/ time=([\d.]+)/),
  };
}

/** A TCP server that tells every caller which address it came from. Resolves when it listens. */
export async function listenTcp(on: Namespace, port: number): Promise<Program> {
  const program = `require('net').createServer((s) => s.on('error', () => {}).end(s.remoteAddress.replace('::ffff:', '') + '\\n'))
    .listen(${port}, () => console.log('listening'))`;
  const server = on.start([process.execPath, '-e', program]);
  await server.line(/^listening$/);
  return server;
}

/** The source address that the server of `listenTcp` saw, or null when no connection came about. */
export async function connectTcp(
  from: Namespace,
  to: string,
  port: number,
  timeoutMs = 3_000,
): Promise<string | null> {
  // Without --norc a bash whose input is a socket, as here, may take itself for a remote shell and read ~/.bashrc.
  const script = `exec 3<>/dev/tcp/${to}/${port} && cat <&3`;
  const { code, stdout } = await from.tryRun([
    'timeout',
    `${timeoutMs / 1000}`,
    'bash',
    '--norc',
    '-c',
    script,
  ]);
  return code === 0 ? stdout.trim() : null;
}

/** The addresses that answer on the way, the destination last; `*` for a silent one. */
export async function traceroute(from: Namespace, to: string): Promise<readonly string[]> {
  const output = await from.run(['traceroute', '-n', '-q', '1', '-w', '2', '-m', '8', to]);
  return output
    .split('\n')
    .slice(1)
    .filter(Boolean)
    .map((line) => line.trim().split(/\s+/)[1] ?? '*');
}

const QUIET_MS = 1_500;

/** `ip monitor` in a namespace; it begins when the kernel has been quiet for a while, and `stop` returns every line between start and stop. */
export class KernelWatch {
  readonly #namespace: Namespace;
  readonly #program: Program;
  #marks = 0;
  #before = 0;

  private constructor(namespace: Namespace, objects: readonly string[]) {
    this.#namespace = namespace;
    this.#program = namespace.start(['ip', '-oneline', 'monitor', ...objects]);
  }

  static async start(
    namespace: Namespace,
    objects: readonly string[] = ['link', 'address', 'route', 'rule'],
  ): Promise<KernelWatch> {
    const watch = new KernelWatch(namespace, objects);
    await watch.#mark();
    await watch.#quiet();
    return watch;
  }

  /** Everything the kernel reported, but for the watch's own marks and the containers' ports on their bridge: those
   *  report the doings of the bridge at times of its own. */
  async stop(): Promise<readonly string[]> {
    await this.#mark();
    await this.#program.stop();
    return this.#lines().slice(this.#before);
  }

  #lines(): readonly string[] {
    return this.#program.stdout
      .split('\n')
      .filter((line) => line !== '' && !line.includes('table 64738') && !line.includes(' master docker0 '));
  }

  /** The kernel reports some things up to a second after they happened: IPv6 addresses, states of a bridge's ports. */
  async #quiet(): Promise<void> {
    let lines: number;
    do {
      lines = this.#lines().length;
      await delay(QUIET_MS);
    } while (lines !== this.#lines().length);
    this.#before = lines;
  }

  /** Events arrive in order: once a route of ours in a table of ours has come by, all before it have too. The
   *  subscription itself takes a moment, so the mark is made until it is seen. */
  async #mark(): Promise<void> {
    const destination = `198.18.0.${++this.#marks}`;
    const seen = this.#program.line(new RegExp(destination.replaceAll('.', '\\.')));
    let waiting = true;
    const stopWaiting = (): void => {
      waiting = false;
    };
    seen.then(stopWaiting, stopWaiting);
    while (waiting) {
      await this.#namespace.ip(`route add blackhole ${destination} table 64738`);
      await this.#namespace.ip(`route delete blackhole ${destination} table 64738`);
    }
    await seen;
  }
}
