/**
 * The filter table of iptables, and what to feed iptables-restore to bring our part of it to what is wanted. Pure. Ours
 * are the chain TSFLANNEL-FORWARD and the jump to it at the head of DOCKER-USER, which is the one place that Docker
 * leaves to others and evaluates before its own rules; and, only where they were missing, DOCKER-USER itself, the jump
 * to it, and a FORWARD policy of DROP.
 */
import { FORWARD_CHAIN } from './chain-rules.ts';
import { type ChainTable, fill, jumpFirst, jumpsTo, rulesOf, withdraw } from './chain-table.ts';

const DOCKER_USER = 'DOCKER-USER';
/** Docker makes these at its start, the first up to version 27 and the second since, and never removes them. */
const ENGINE_CHAINS = ['DOCKER', 'DOCKER-FORWARD'];

const USER_JUMP = `FORWARD -j ${DOCKER_USER}`;
/** What Docker decides by, in FORWARD, of any version. */
const ENGINE_RULE = / -j DOCKER(?!-USER$)| (-[io] docker0|--match-set docker-)/;

/** What was missing or different before us and is put back at the end. */
export interface FilterFound {
  readonly dockerUserMissing: boolean;
  readonly userJumpMissing: boolean;
  readonly forwardPolicyAccept: boolean;
}

export interface FilterWanted {
  /** Null: no accepts, no chains. */
  readonly rules: readonly string[] | null;
  /** Of FORWARD; null leaves it alone. */
  readonly policy: 'ACCEPT' | 'DROP' | null;
}

export function engineWasHere(table: ChainTable): boolean {
  return ENGINE_CHAINS.some((name) => table.has(name));
}

/** Some network of the engine takes packets for any port: its gateway mode is nat-unprotected. */
export function takesEverything(table: ChainTable): boolean {
  return rulesOf(table, 'DOCKER').some((rule) => /^-A DOCKER ! -i (\S+) -o \1 -j ACCEPT$/.test(rule));
}

/** What of `found` the table shows, together with what earlier passes have seen. */
export function lookAround(table: ChainTable, wanted: FilterWanted, before: FilterFound): FilterFound {
  const accepts = wanted.rules !== null;
  return {
    dockerUserMissing: before.dockerUserMissing || (accepts && !table.has(DOCKER_USER)),
    userJumpMissing: before.userJumpMissing || (accepts && !hasUserJump(table)),
    forwardPolicyAccept: before.forwardPolicyAccept || (wanted.policy === 'DROP' && !dropsByPolicy(table)),
  };
}

/** Lines between `*filter` and `COMMIT`; none when all is well. */
export function repair(table: ChainTable, wanted: FilterWanted): readonly string[] {
  const lines = wanted.rules === null ? withdrawn(table) : accepts(table, wanted.rules);
  const isRight = wanted.policy === null || (wanted.policy === 'DROP') === dropsByPolicy(table);
  return isRight ? lines : [...lines, `-P FORWARD ${wanted.policy}`];
}

function accepts(table: ChainTable, rules: readonly string[]): readonly string[] {
  return [
    ...fill(table, FORWARD_CHAIN, rules),
    // Not by naming it: should somebody have made and filled it since we looked, this fails and nothing is lost.
    ...(table.has(DOCKER_USER) ? [] : [`-N ${DOCKER_USER}`]),
    ...jumpFirst(table, DOCKER_USER, FORWARD_CHAIN),
    ...userJump(table),
  ];
}

/** Somebody's rules may stand before it, but not the engine's. */
function userJump(table: ChainTable): readonly string[] {
  const rules = rulesOf(table, 'FORWARD');
  const at = rules.indexOf(`-A ${USER_JUMP}`);
  const engineAt = rules.findIndex((rule) => ENGINE_RULE.test(rule));
  if (at >= 0 && (engineAt < 0 || at < engineAt)) return [];
  return [...(at >= 0 ? [`-D ${USER_JUMP}`] : []), `-I ${USER_JUMP.replace(' ', ' 1 ')}`];
}

function withdrawn(table: ChainTable): readonly string[] {
  return withdraw(table, DOCKER_USER, FORWARD_CHAIN);
}

/** Everything of ours, and back to what was found, unless an engine has taken it over since. */
export function restoreFound(table: ChainTable, found: FilterFound): readonly string[] {
  const lines = [...withdrawn(table)];
  if (engineWasHere(table)) return lines;
  const jumpGoes = found.userJumpMissing && hasUserJump(table);
  if (jumpGoes) lines.push(`-D ${USER_JUMP}`);
  if (found.dockerUserMissing && table.has(DOCKER_USER) && isUnused(table, jumpGoes))
    lines.push(`-X ${DOCKER_USER}`);
  if (found.forwardPolicyAccept && dropsByPolicy(table)) lines.push('-P FORWARD ACCEPT');
  return lines;
}

/** DOCKER-USER holds nothing but our jump, and nothing but perhaps our own jump leads to it. */
function isUnused(table: ChainTable, jumpGoes: boolean): boolean {
  if (rulesOf(table, DOCKER_USER).length > jumpsTo(table, DOCKER_USER, FORWARD_CHAIN).length) return false;
  const references = [...table.values()]
    .flatMap(({ rules }) => rules)
    .filter((rule) => new RegExp(`-[jg] ${DOCKER_USER}$`).test(rule));
  return references.length === (jumpGoes ? 1 : 0);
}

function hasUserJump(table: ChainTable): boolean {
  return rulesOf(table, 'FORWARD').includes(`-A ${USER_JUMP}`);
}

function dropsByPolicy(table: ChainTable): boolean {
  return table.get('FORWARD')?.policy === 'DROP';
}
