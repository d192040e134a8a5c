/**
 * One network namespace of a lab and what runs in it. Everything in the lab, host, router, L2 or plain container, is
 * one of these; it never touches anything outside itself.
 */
import { Program, type RunOptions, type RunResult, run, tryRun } from './command.ts';

export class Namespace {
  /** As in the test: `a`. */
  readonly name: string;
  /** As the kernel knows it: `tsf1a2b-1-a`. */
  readonly netns: string;
  readonly #programs: Program[] = [];

  constructor(name: string, netns: string) {
    this.name = name;
    this.netns = netns;
  }

  /** Programs that were started here, running or not, for reports. */
  get programs(): readonly Program[] {
    return this.#programs;
  }

  /** The whole command line that runs `argv` in this namespace. */
  command(argv: readonly string[]): readonly string[] {
    return ['ip', 'netns', 'exec', this.netns, ...argv];
  }

  run(argv: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.command(argv), options);
  }

  tryRun(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return tryRun(this.command(argv), options);
  }

  start(argv: readonly string[], options?: RunOptions): Program {
    const program = new Program(this.command(argv), options);
    this.#programs.push(program);
    return program;
  }

  /** One line of `ip`: `host.ip('route show')`. */
  ip(line: string): Promise<string> {
    return run(['ip', '-netns', this.netns, ...line.split(' ')]);
  }

  /** Several lines of `ip`, in one process. */
  async configure(lines: readonly string[]): Promise<void> {
    await run(['ip', '-netns', this.netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  async sysctl(key: string, value?: string | number): Promise<string> {
    if (value !== undefined) await this.run(['sysctl', '-qw', `${key}=${value}`]);
    return (await this.run(['sysctl', '-n', key])).trim();
  }

  /** Ends every program started here. */
  async stopAll(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await Promise.allSettled(this.#programs.map((program) => program.stop(signal)));
  }
}
