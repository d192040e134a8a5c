/**
 * Tables of iptables as iptables-save prints them, and what to feed iptables-restore to have a chain of ours with the
 * rules that are wanted, and one jump to it at the head of another chain. Pure.
 */

export interface Chain {
  /** `-` for a chain that is not built in. */
  readonly policy: string;
  readonly rules: readonly string[];
}

export type ChainTable = ReadonlyMap<string, Chain>;

/** By name: `filter`, `raw`. A table that was never used is not there. */
export function parseTables(saved: string): ReadonlyMap<string, ChainTable> {
  const tables = new Map<string, Map<string, { policy: string; rules: string[] }>>();
  let chains = new Map<string, { policy: string; rules: string[] }>();
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) {
      chains = new Map();
      tables.set(line.slice(1), chains);
      continue;
    }
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain !== undefined && policy !== undefined) chains.set(chain, { policy, rules: [] });
    const [, appended] = /^-A (\S+) /.exec(line) ?? [];
    if (appended !== undefined) chains.get(appended)?.rules.push(line);
  }
  return tables;
}

export const NO_CHAINS: ChainTable = new Map();

export function rulesOf(table: ChainTable, chain: string): readonly string[] {
  return table.get(chain)?.rules ?? [];
}

/** Lines that give `chain` these rules. Naming a chain makes or empties it; in one transaction, so no packet sees it
 *  empty. */
export function fill(table: ChainTable, chain: string, rules: readonly string[]): readonly string[] {
  return same(rulesOf(table, chain), rules) ? [] : [`:${chain} - [0:0]`, ...rules];
}

/** Lines that make the jump to `chain` the first rule of `parent`, and the only such jump. */
export function jumpFirst(table: ChainTable, parent: string, chain: string): readonly string[] {
  const [first] = rulesOf(table, parent);
  const jumps = jumpsTo(table, parent, chain);
  if (first === `-A ${parent} -j ${chain}` && jumps.length === 1) return [];
  return [...jumps.map(() => `-D ${parent} -j ${chain}`), `-I ${parent} 1 -j ${chain}`];
}

/** Lines that take away `chain` and the jumps to it. */
export function withdraw(table: ChainTable, parent: string, chain: string): readonly string[] {
  const gone = table.has(chain) ? [`-F ${chain}`, `-X ${chain}`] : [];
  return [...jumpsTo(table, parent, chain).map(() => `-D ${parent} -j ${chain}`), ...gone];
}

export function jumpsTo(table: ChainTable, parent: string, chain: string): readonly string[] {
  return rulesOf(table, parent).filter((rule) => rule === `-A ${parent} -j ${chain}`);
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((rule, i) => rule === b[i]);
}
