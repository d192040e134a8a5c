/**
 * Keeps our part of iptables' filter table at what is wanted: one iptables-save to look, one iptables-restore, which is
 * one transaction, to change. The whole table is never written, and nothing is flushed but the chain that is ours.
 * Docker changes the same table whenever it likes: a change that fails because of that is worked out anew, once.
 */
import { type Exec, output } from './exec.ts';
import {
  type FilterFound,
  type FilterTable,
  type FilterWanted,
  lookAround,
  parseFilterTable,
  repair,
  restoreFound,
} from './filter-table.ts';
import { FORWARD_CHAIN } from './rules.ts';

const SAVE = ['iptables-save', '-t', 'filter'];
/** iptables-legacy has one lock for everybody; the other variant ignores this. */
const LOCK_WAIT_SECONDS = 5;
const RESTORE = ['iptables-restore', '--noflush', `--wait=${LOCK_WAIT_SECONDS}`];

export interface FilterMemory {
  readonly found: FilterFound;
  /** Called before anything is changed. */
  readonly keep: (found: FilterFound) => Promise<void>;
}

export class Iptables {
  readonly #exec: Exec;
  /** How the tool prints what was written last. */
  #spelling: { readonly wanted: string; readonly printed: readonly string[] } | null = null;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  async read(): Promise<FilterTable> {
    return parseFilterTable(await output(this.#exec, SAVE));
  }

  /** Resolves to whether it wrote. */
  async apply(wanted: FilterWanted, memory: FilterMemory): Promise<boolean> {
    const table = await this.read();
    const lines = repair(table, this.#spelled(wanted));
    if (lines.length === 0) return false;
    await memory.keep(lookAround(table, wanted, memory.found));
    try {
      await this.#restore(lines);
    } catch {
      // What it said is likely about a table that has changed since; if not, it says it again.
      const newer = await this.read();
      await memory.keep(lookAround(newer, wanted, memory.found));
      await this.#restore(repair(newer, wanted));
    }
    const printed = (await this.read()).get(FORWARD_CHAIN)?.rules ?? [];
    this.#spelling = { wanted: wanted.rules?.join('\n') ?? '', printed };
    return true;
  }

  async remove(table: FilterTable, found: FilterFound): Promise<void> {
    await this.#restore(restoreFound(table, found));
  }

  #spelled(wanted: FilterWanted): FilterWanted {
    if (wanted.rules === null || wanted.rules.join('\n') !== this.#spelling?.wanted) return wanted;
    return { ...wanted, rules: this.#spelling.printed };
  }

  async #restore(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await output(this.#exec, RESTORE, `*filter\n${lines.join('\n')}\nCOMMIT\n`);
  }
}
