/** A host for the firewall without a kernel: the tools as they act on text, sysctls in a map, and faults on demand. */
import type { Exec, ExecResult } from '../../../src/firewall/exec.ts';
import type { Sysctls } from '../../../src/firewall/sysctl.ts';
import { restore, save, type Table } from './restore-model.ts';

export class FakeHost implements Sysctls {
  /** Every tool that was started and every write to /proc/sys, in order. */
  readonly log: string[] = [];
  readonly sysctls: Map<string, string>;
  filter: Table = {
    INPUT: { policy: 'ACCEPT', rules: [] },
    FORWARD: { policy: 'ACCEPT', rules: [] },
    OUTPUT: { policy: 'ACCEPT', rules: [] },
  };
  /** Our nftables table as nft would print it. */
  nft: string | null = null;
  /** How the tools of this host print what they were given. */
  spell: (text: string) => string = (text) => text;
  /** Runs before the next iptables-restore: somebody else is quicker. */
  beforeRestore: (() => void) | undefined;
  /** Tools that fail, with what they say. */
  readonly failing: Map<string, string> = new Map();

  constructor(sysctls: Readonly<Record<string, string>> = {}) {
    const defaults = { 'net/ipv4/ip_forward': '0', 'net/ipv4/conf/all/rp_filter': '0' };
    this.sysctls = new Map(Object.entries({ ...defaults, 'kernel/random/boot_id': 'b001', ...sysctls }));
  }

  /** Since the last call. */
  takeLog(): readonly string[] {
    return this.log.splice(0);
  }

  async read(key: string): Promise<string | null> {
    return this.sysctls.get(key) ?? null;
  }

  async write(key: string, value: string): Promise<void> {
    this.log.push(`${key}=${value}`);
    this.sysctls.set(key, value);
  }

  readonly exec: Exec = async (argv, input = '') => {
    const [tool = ''] = argv;
    this.log.push(argv.slice(0, 2).join(' '));
    const complaint = this.failing.get(tool);
    if (complaint !== undefined) return { code: 1, stdout: '', stderr: complaint };
    if (tool === 'nft') return this.#nft(argv, input);
    // Of IPv6 this host has nothing.
    if (tool === 'ip6tables-save') return done('');
    if (tool === 'iptables-save') return done(this.spell(save(this.filter)));
    return this.#restore(input);
  };

  #nft(argv: readonly string[], input: string): ExecResult {
    if (argv.includes('ip6') || input.includes('table ip6')) return done('');
    if (argv[1] === 'list')
      return this.nft === null || !argv.includes('tsflannel')
        ? { code: 1, stdout: '', stderr: 'Error: No such file' }
        : done(this.nft);
    const [, table] = /delete table ip tsflannel\n(.*)$/s.exec(input) ?? [];
    this.nft = table === undefined || table === '' ? null : this.spell(table);
    return done('');
  }

  #restore(input: string): ExecResult {
    const { beforeRestore } = this;
    this.beforeRestore = undefined;
    beforeRestore?.();
    try {
      this.filter = restore(this.filter, input.split('\n').slice(1, -2));
      return done('');
    } catch (error) {
      return { code: 4, stdout: '', stderr: String(error) };
    }
  }
}

function done(stdout: string): ExecResult {
  return { code: 0, stdout, stderr: '' };
}
