/**
 * What probes say of one path: whether it carries packets, since when, how many it loses and how long they take. Pure;
 * time comes in. A probe that nobody answered in its time is a loss; a row of losses that chance explains is nothing,
 * one that it does not explain is a dead path. How long a row has to be follows from what the path lost before, so that
 * a clean path is given up after a few and a lossy one is not given up for being lossy.
 */

/** Outcomes that `loss` is made of. */
const WINDOW = 50;
/** Answers whose times are remembered. */
const RECENT_ANSWERS = 16;
/** Chance makes a row of losses that ends a path less often than this. */
const CHANCE = 1e-6;
/** What a path is taken to have lost of so many before anything is known of it: few probes without a loss prove little. */
const PRIOR = { lost: 1, of: 15 } as const;
const ROW_MIN = 4;
const ROW_MAX = 14;
/** After this long without an answer the shortest row has to do: a dead path is left within three seconds. */
const SILENCE_MS = 2_400;
/** A path was not silent before it was asked; one in use is asked about this often. */
const ASKED_MS = 600;

/** How long a probe may take: more than they take, and at least what a busy host may need to answer. */
const TIMEOUT_MS_MIN = 250;
const TIMEOUT_MS_MORE = 100;
const TIMEOUT_MS_UNKNOWN = 500;
const TIMEOUT_MS_MAX = 1_000;

export type EvidenceState = 'unknown' | 'proven' | 'dead';

export class Evidence {
  readonly #outcomes: boolean[] = [];
  #state: EvidenceState = 'unknown';
  /** When the probes of the present row of losses were sent, oldest first. */
  #row: number[] = [];
  /** Losses and answers while it was alive: a row that ended it says nothing of chance. */
  #alive: boolean[] = [];
  /** When the probes that were answered last had been sent, in order of the answers. */
  #recent: number[] = [];
  #answeredSentMs: number | null = null;
  #provenSinceMs = 0;
  #answers = 0;
  #rttMs: number | null = null;

  /** `unknown`: never answered, and not asked often enough to say more. `dead`: silent, whether or not it ever was not. */
  get state(): EvidenceState {
    return this.#state;
  }

  get everAnswered(): boolean {
    return this.#answeredSentMs !== null;
  }

  /** Answers since it is proven. */
  get answers(): number {
    return this.#answers;
  }

  get rttMs(): number | null {
    return this.#rttMs;
  }

  /** Of the last probes, 0 to 1; null before the first outcome. */
  get loss(): number | null {
    const { length } = this.#outcomes;
    return length === 0 ? null : this.#outcomes.filter((answered) => !answered).length / length;
  }

  /** When the first probe of the present row of losses was sent; null when the last one was answered. */
  get silentFromMs(): number | null {
    return this.#row[0] ?? null;
  }

  /** When the last probe of the present row was sent. */
  get lastLostSentMs(): number | null {
    return this.#row.at(-1) ?? null;
  }

  get row(): number {
    return this.#row.length;
  }

  get timeoutMs(): number {
    if (this.#rttMs === null) return TIMEOUT_MS_UNKNOWN;
    return Math.min(TIMEOUT_MS_MAX, Math.max(TIMEOUT_MS_MIN, 1.5 * this.#rttMs + TIMEOUT_MS_MORE));
  }

  /** When the first answered probe of those sent since then was sent, among the recent ones; null where there is none. */
  answeredSince(ms: number): number | null {
    const since = this.#recent.filter((sentMs) => sentMs >= ms);
    return since.length === 0 ? null : Math.min(...since);
  }

  provenForMs(nowMs: number): number {
    return this.#state === 'proven' ? nowMs - this.#provenSinceMs : 0;
  }

  answered(sentMs: number, nowMs: number): void {
    this.#record(true);
    this.#rttMs = smooth(this.#rttMs, nowMs - sentMs);
    if (this.#state === 'proven') {
      const before = this.#row.filter((lost) => lost < sentMs).map(() => false);
      this.#alive = [...this.#alive, ...before, true].slice(-WINDOW);
    } else {
      this.#provenSinceMs = nowMs;
      this.#answers = 0;
    }
    this.#state = 'proven';
    this.#answers++;
    this.#recent.push(sentMs);
    if (this.#recent.length > RECENT_ANSWERS) this.#recent.shift();
    this.#answeredSentMs = Math.max(sentMs, this.#answeredSentMs ?? sentMs);
    // One that comes late says nothing of those that were sent after it.
    this.#row = this.#row.filter((lost) => lost > sentMs);
  }

  lost(sentMs: number, nowMs: number): void {
    this.#record(false);
    if (sentMs < (this.#answeredSentMs ?? sentMs)) return;
    this.#row.push(sentMs);
    // The first one says when it began; of the others the newest ones count.
    if (this.#row.length > ROW_MAX + 1) this.#row.splice(1, 1);
    if (this.#isSilent(nowMs)) this.#state = 'dead';
  }

  #isSilent(nowMs: number): boolean {
    const [first = nowMs] = this.#row;
    if (this.#row.length >= this.#rowOfDeath()) return true;
    const sinceMs = Math.max(this.#answeredSentMs ?? first, first - ASKED_MS);
    return this.#row.length >= ROW_MIN && nowMs - sinceMs >= SILENCE_MS;
  }

  /** The shortest row of losses that a path which loses as much as this one has by chance once in a million. */
  #rowOfDeath(): number {
    const lost = this.#alive.filter((answered) => !answered).length;
    const loss = (lost + PRIOR.lost) / (this.#alive.length + PRIOR.of);
    return Math.min(ROW_MAX, Math.max(ROW_MIN, Math.ceil(Math.log(CHANCE) / Math.log(loss))));
  }

  #record(answered: boolean): void {
    this.#outcomes.push(answered);
    if (this.#outcomes.length > WINDOW) this.#outcomes.shift();
  }
}

function smooth(before: number | null, rttMs: number): number {
  return before === null ? rttMs : before + (rttMs - before) / 8;
}
