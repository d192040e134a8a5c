/**
 * How often a path is probed, by what is known of it and of the other one to the same peer. Pure. Most often where the
 * answer decides something: a path that has just fallen silent and the one that could take its place, then a path that
 * is new, then the used one; a path that carries nothing hardly ever.
 */
import type { PathKind } from './candidate.ts';
import type { Evidence } from './evidence.ts';
import type { Selected, Ways } from './selection.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const SUSPECT_MS = 125;
/** A row of losses is decided by then. */
const SUSPECT_FOR_MS = 4 * SECOND;
const NEW_MS = 200;
/** Probes; the other end may not be ready yet. */
const NEW_ROW = 4;
const NEW_LATER_MS = 500;
const NEW_FOR_MS = 5 * SECOND;
const USED_MS = 500;
const SPARE_MS = 5 * SECOND;
/** On its way back. */
const RETURNING_MS = SECOND;
/** With the used one dead, at first and after a while. */
const WANTED_MS = 250;
const DEAD_MS = SECOND;
const GIVEN_UP_MS = 4 * SECOND;
const GIVEN_UP_AFTER_MS = MINUTE;
const IDLE_USED_MS = MINUTE;
const IDLE_SPARE_MS = 5 * MINUTE;

export interface Pace {
  readonly everyMs: number;
  /** May use the reserve, and is not stretched to fit. */
  readonly urgent: boolean;
}

export interface PaceFacts {
  readonly kind: PathKind;
  readonly ways: Ways;
  readonly selected: Selected;
  /** Since when this path is a candidate. */
  readonly addedMs: number;
  /** Its peer carried packets lately, or there are so few peers that it does not matter. */
  readonly busy: boolean;
}

export function paceOf({ kind, ways, selected, addedMs, busy }: PaceFacts, nowMs: number): Pace {
  const own = ways[kind].evidence;
  const otherWay = ways[kind === 'direct' ? 'vxlan' : 'direct'];
  const other = otherWay.candidate.possible ? otherWay.evidence : null;
  const used = selected.kind === kind;
  if (!own.everAnswered && nowMs - addedMs < NEW_FOR_MS)
    return own.row < NEW_ROW ? urgent(NEW_MS) : regular(NEW_LATER_MS);
  if (used && isSuspect(own, nowMs)) return urgent(busy ? SUSPECT_MS : WANTED_MS);
  if (used && other !== null && isConfirming(own, other)) return urgent(SUSPECT_MS);
  if (!used && other !== null && isNeeded(own, other, nowMs)) return urgent(WANTED_MS);
  if (!busy) return regular(used ? IDLE_USED_MS : IDLE_SPARE_MS);
  if (used) return regular(own.state === 'dead' ? deadPace(own, nowMs) : USED_MS);
  if (other?.state === 'dead') return regular(isGivenUp(other, nowMs) ? deadPace(own, nowMs) : WANTED_MS);
  const returning = kind === 'direct' && own.state === 'proven' && selected.failedBefore;
  return regular(returning ? RETURNING_MS : SPARE_MS);
}

/** Just fallen silent, and not decided yet. */
function isSuspect({ state, silentFromMs }: Evidence, nowMs: number): boolean {
  return silentFromMs !== null && state !== 'dead' && nowMs - silentFromMs < SUSPECT_FOR_MS;
}

/** Dead, and the other one has answered meanwhile: one more lost probe and it is left. */
function isConfirming({ state, silentFromMs }: Evidence, other: Evidence): boolean {
  if (state !== 'dead' || silentFromMs === null || other.state !== 'proven') return false;
  return other.answeredSince(silentFromMs) !== null;
}

/** The used one (`other`) has lost more than one, and this one has not answered since. */
function isNeeded(own: Evidence, other: Evidence, nowMs: number): boolean {
  const { silentFromMs, row } = other;
  if (silentFromMs === null || row < 2 || nowMs - silentFromMs >= SUSPECT_FOR_MS) return false;
  return own.answeredSince(silentFromMs) === null;
}

function isGivenUp({ silentFromMs }: Evidence, nowMs: number): boolean {
  return silentFromMs !== null && nowMs - silentFromMs >= GIVEN_UP_AFTER_MS;
}

function deadPace(evidence: Evidence, nowMs: number): number {
  return isGivenUp(evidence, nowMs) ? GIVEN_UP_MS : DEAD_MS;
}

function urgent(everyMs: number): Pace {
  return { everyMs, urgent: true };
}

function regular(everyMs: number): Pace {
  return { everyMs, urgent: false };
}
