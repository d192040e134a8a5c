/**
 * The filter table of iptables as iptables-save prints it, and what to feed iptables-restore to bring our part of it to
 * what is wanted. Pure. Ours are the chain TSFLANNEL-FORWARD and the jump to it at the head of DOCKER-USER, which is
 * the one place that Docker leaves to others and evaluates before its own rules; and, only where they were missing,
 * DOCKER-USER itself, the jump to it, and a FORWARD policy of DROP.
 */
import { FORWARD_CHAIN } from './rules.ts';

const DOCKER_USER = 'DOCKER-USER';
/** Docker makes these at its start, the first up to version 27 and the second since, and never removes them. */
const ENGINE_CHAINS = ['DOCKER', 'DOCKER-FORWARD'];

const USER_JUMP = `FORWARD -j ${DOCKER_USER}`;
const OUR_JUMP = `${DOCKER_USER} -j ${FORWARD_CHAIN}`;

interface Chain {
  /** `-` for a chain that is not built in. */
  readonly policy: string;
  readonly rules: readonly string[];
}

export type FilterTable = ReadonlyMap<string, Chain>;

/** What was missing or different before us and is put back at the end. */
export interface FilterFound {
  readonly dockerUserMissing: boolean;
  readonly userJumpMissing: boolean;
  readonly forwardPolicyAccept: boolean;
}

export interface FilterWanted {
  /** Null: no accepts, no chains. */
  readonly rules: readonly string[] | null;
  readonly dropPolicy: boolean;
}

export function parseFilterTable(saved: string): FilterTable {
  const chains = new Map<string, { policy: string; rules: string[] }>();
  for (const line of saved.split('\n')) {
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain !== undefined && policy !== undefined) chains.set(chain, { policy, rules: [] });
    const [, appended] = /^-A (\S+) /.exec(line) ?? [];
    if (appended !== undefined) chains.get(appended)?.rules.push(line);
  }
  return chains;
}

export function engineWasHere(table: FilterTable): boolean {
  return ENGINE_CHAINS.some((name) => table.has(name));
}

/** What of `found` the table shows, together with what earlier passes have seen. */
export function lookAround(table: FilterTable, wanted: FilterWanted, before: FilterFound): FilterFound {
  const accepts = wanted.rules !== null;
  return {
    dockerUserMissing: before.dockerUserMissing || (accepts && !table.has(DOCKER_USER)),
    userJumpMissing: before.userJumpMissing || (accepts && !hasUserJump(table)),
    forwardPolicyAccept: before.forwardPolicyAccept || (wanted.dropPolicy && !dropsByPolicy(table)),
  };
}

/** Lines between `*filter` and `COMMIT`; none when all is well. */
export function repair(table: FilterTable, wanted: FilterWanted): readonly string[] {
  const lines = wanted.rules === null ? withdraw(table) : accepts(table, wanted.rules);
  return wanted.dropPolicy && !dropsByPolicy(table) ? [...lines, '-P FORWARD DROP'] : lines;
}

function accepts(table: FilterTable, rules: readonly string[]): readonly string[] {
  const lines: string[] = [];
  // Naming the chain makes or empties it; in one transaction, so no packet sees it empty.
  if (!same(rulesOf(table, FORWARD_CHAIN), rules)) lines.push(`:${FORWARD_CHAIN} - [0:0]`, ...rules);
  // Not by naming it: should somebody have made and filled it since we looked, this fails and nothing is lost.
  if (!table.has(DOCKER_USER)) lines.push(`-N ${DOCKER_USER}`);
  const [first] = rulesOf(table, DOCKER_USER);
  const jumps = ourJumps(table);
  if (first !== `-A ${OUR_JUMP}` || jumps.length > 1)
    lines.push(...jumps, `-I ${OUR_JUMP.replace(' ', ' 1 ')}`);
  if (!hasUserJump(table)) lines.push(`-I ${USER_JUMP.replace(' ', ' 1 ')}`);
  return lines;
}

/** Our jumps and our chain, and nothing else. */
function withdraw(table: FilterTable): readonly string[] {
  const chain = table.has(FORWARD_CHAIN) ? [`-F ${FORWARD_CHAIN}`, `-X ${FORWARD_CHAIN}`] : [];
  return [...ourJumps(table), ...chain];
}

/** Everything of ours, and back to what was found, unless an engine has taken it over since. */
export function restoreFound(table: FilterTable, found: FilterFound): readonly string[] {
  const lines = [...withdraw(table)];
  if (engineWasHere(table)) return lines;
  const jumpGoes = found.userJumpMissing && hasUserJump(table);
  if (jumpGoes) lines.push(`-D ${USER_JUMP}`);
  if (found.dockerUserMissing && table.has(DOCKER_USER) && isUnused(table, jumpGoes))
    lines.push(`-X ${DOCKER_USER}`);
  if (found.forwardPolicyAccept && dropsByPolicy(table)) lines.push('-P FORWARD ACCEPT');
  return lines;
}

/** DOCKER-USER holds nothing but our jump, and nothing but perhaps our own jump leads to it. */
function isUnused(table: FilterTable, jumpGoes: boolean): boolean {
  if (rulesOf(table, DOCKER_USER).length > ourJumps(table).length) return false;
  const references = [...table.values()]
    .flatMap(({ rules }) => rules)
    .filter((rule) => new RegExp(`-[jg] ${DOCKER_USER}$`).test(rule));
  return references.length === (jumpGoes ? 1 : 0);
}

function ourJumps(table: FilterTable): readonly string[] {
  return rulesOf(table, DOCKER_USER)
    .filter((rule) => rule === `-A ${OUR_JUMP}`)
    .map(() => `-D ${OUR_JUMP}`);
}

function hasUserJump(table: FilterTable): boolean {
  return rulesOf(table, 'FORWARD').includes(`-A ${USER_JUMP}`);
}

function dropsByPolicy(table: FilterTable): boolean {
  return table.get('FORWARD')?.policy === 'DROP';
}

function rulesOf(table: FilterTable, chain: string): readonly string[] {
  return table.get(chain)?.rules ?? [];
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((rule, i) => rule === b[i]);
}
