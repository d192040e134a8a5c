/**
 * Runs one firewall tool to its end: bounded in time and output, without a shell, in the C locale. What goes wrong
 * becomes a sentence that names the tool, what it said and what to do. It never decides what an exit code means.
 */
import { execFile } from 'node:child_process';
import { EXIT, refuse, TsflannelError } from '../errors.ts';

const TIMEOUT_MS = 10_000;
/** A host with tens of thousands of rules of others. */
const OUTPUT_BYTES_MAX: number = 64 << 20;

/** The package of each tool, as Debian names it. */
const PACKAGES: Readonly<Record<string, string>> = { nft: 'nftables' };
const DEFAULT_PACKAGE = 'iptables';

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How the drivers run a tool. Resolves with any exit code, rejects when the tool did not run to its end. */
export type Exec = (argv: readonly string[], input?: string) => Promise<ExecResult>;

export const exec: Exec = execWithin(TIMEOUT_MS);

export function execWithin(timeoutMs: number): Exec {
  return (argv, input) => execOnce(timeoutMs, argv, input);
}

function execOnce(
  timeoutMs: number,
  [tool = '', ...args]: readonly string[],
  input = '',
): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const options = {
      encoding: 'utf8',
      timeout: timeoutMs,
      maxBuffer: OUTPUT_BYTES_MAX,
      killSignal: 'SIGKILL',
      env: { ...process.env, LC_ALL: 'C' },
    } as const;
    const child = execFile(tool, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr });
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
      else reject(notRun(tool, timeoutMs, error));
    });
    // A tool that ends before it has read everything closes the pipe; its exit code tells the rest.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** The output of a tool that must succeed. */
export async function output(run: Exec, argv: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(argv, input);
  if (code === 0) return stdout;
  throw new TsflannelError(
    refuse(
      'firewall-refused',
      EXIT.failed,
      `${argv.join(' ')} failed with exit code ${code}: ${firstLine(stderr)}.`,
      'See that this kernel has nf_tables with NAT and conntrack, and that no other tool holds the firewall lock.',
    ),
  );
}

function notRun(
  tool: string,
  timeoutMs: number,
  cause: Error & { code?: unknown; killed?: boolean },
): TsflannelError {
  if (cause.code === 'ENOENT') {
    const name = PACKAGES[tool] ?? DEFAULT_PACKAGE;
    const text = `${tool} is not installed on this host.`;
    return new TsflannelError(
      refuse('firewall-tool-missing', EXIT.failed, text, `Install the package ${name}.`),
      { cause },
    );
  }
  const text =
    cause.killed === true
      ? `${tool} was not done after ${timeoutMs / 1_000} s.`
      : `${tool} could not be run: ${firstLine(cause.message)}.`;
  const fix = `See what ${tool} does on this host when it is called by hand.`;
  return new TsflannelError(refuse('firewall-tool-failed', EXIT.failed, text, fix), { cause });
}

function firstLine(text: string): string {
  const [line = ''] = text.trim().split('\n');
  return line.slice(0, 512).replace(/\.$/, '') || 'it said nothing';
}
