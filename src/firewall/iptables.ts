/**
 * Keeps our parts of the tables filter and raw of one address family at what is wanted: one iptables-save to look, one
 * iptables-restore, which is one transaction a table, to change. No table is ever written whole, and nothing is flushed
 * but the chains that are ours. Docker changes the same tables whenever it likes: a change that fails because of that
 * is worked out anew, once.
 */
import type { Family } from '../net/ip.ts';
import { FORWARD_CHAIN, RAW_CHAIN } from './chain-rules.ts';
import { type ChainTable, NO_CHAINS, parseTables, rulesOf } from './chain-table.ts';
import { type Exec, output } from './exec.ts';
import { type FilterFound, type FilterWanted, lookAround, repair, restoreFound } from './filter-table.ts';
import { repairRaw } from './raw-table.ts';

const TOOLS = { 4: 'iptables', 6: 'ip6tables' } as const;
/** iptables-legacy has one lock for everybody; the other variant ignores this. */
const LOCK_WAIT_SECONDS = 5;

export interface IptablesTables {
  readonly filter: ChainTable;
  readonly raw: ChainTable;
}

export interface IptablesWanted extends FilterWanted {
  /** What is in our chain of the table raw. Null: no such chain. */
  readonly raw: readonly string[] | null;
}

export interface FilterMemory {
  readonly found: FilterFound;
  /** Called before anything is changed. */
  readonly keep: (found: FilterFound) => Promise<void>;
}

export class Iptables {
  readonly #exec: Exec;
  readonly #tool: string;
  /** How the tool prints the rules that were written last, by chain. */
  readonly #spelling = new Map<string, { readonly wanted: string; readonly printed: readonly string[] }>();

  constructor(exec: Exec, family: Family) {
    this.#exec = exec;
    this.#tool = TOOLS[family];
  }

  /** Without naming tables: iptables-legacy makes a table that is named. */
  async read(): Promise<IptablesTables> {
    const tables = parseTables(await output(this.#exec, [`${this.#tool}-save`]));
    return { filter: tables.get('filter') ?? NO_CHAINS, raw: tables.get('raw') ?? NO_CHAINS };
  }

  /** Resolves to whether it wrote. */
  async apply(tables: IptablesTables, wanted: IptablesWanted, memory: FilterMemory): Promise<boolean> {
    const lines = this.#lines(tables, {
      ...wanted,
      rules: this.#spelled(FORWARD_CHAIN, wanted.rules),
      raw: this.#spelled(RAW_CHAIN, wanted.raw),
    });
    if (lines === '') return false;
    await memory.keep(lookAround(tables.filter, wanted, memory.found));
    try {
      await this.#restore(lines);
    } catch {
      // What it said is likely about a table that has changed since; if not, it says it again.
      const newer = await this.read();
      await memory.keep(lookAround(newer.filter, wanted, memory.found));
      await this.#restore(this.#lines(newer, wanted));
    }
    const { filter, raw } = await this.read();
    this.#learn(FORWARD_CHAIN, wanted.rules, filter);
    this.#learn(RAW_CHAIN, wanted.raw, raw);
    return true;
  }

  async remove(tables: IptablesTables, found: FilterFound): Promise<void> {
    const filter = restoreFound(tables.filter, found);
    await this.#restore(transaction('filter', filter) + transaction('raw', repairRaw(tables.raw, null)));
  }

  #lines(tables: IptablesTables, wanted: IptablesWanted): string {
    // The accepts in raw come first: what is let through there still meets the filter.
    return (
      transaction('raw', repairRaw(tables.raw, wanted.raw)) +
      transaction('filter', repair(tables.filter, wanted))
    );
  }

  #spelled(chain: string, rules: readonly string[] | null): readonly string[] | null {
    const spelling = this.#spelling.get(chain);
    return rules !== null && rules.join('\n') === spelling?.wanted ? spelling.printed : rules;
  }

  #learn(chain: string, rules: readonly string[] | null, table: ChainTable): void {
    if (rules !== null)
      this.#spelling.set(chain, { wanted: rules.join('\n'), printed: rulesOf(table, chain) });
  }

  async #restore(input: string): Promise<void> {
    if (input === '') return;
    await output(this.#exec, [`${this.#tool}-restore`, '--noflush', `--wait=${LOCK_WAIT_SECONDS}`], input);
  }
}

function transaction(table: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `*${table}\n${lines.join('\n')}\nCOMMIT\n`;
}
