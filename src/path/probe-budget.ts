/**
 * How many probes a host may send: so many a second over time. The regular ones have their share of it; the rest, and
 * what they leave, fills a reserve for paths that stop answering. Neither can starve the other. Pure; time comes in.
 */
const PROBES_PER_SECOND = 20;
/** What the regular probes are spread over. */
export const REGULAR_PER_SECOND = 15;
const REGULAR_BURST = 10;
/** What the others leave to them: they find the next path that falls silent. */
const REGULAR_KEPT = 6;
/** For a handful of paths that fall silent at once. */
const RESERVE = 50;

export class ProbeBudget {
  #regular = REGULAR_BURST;
  #reserve = RESERVE;
  #filledAtMs: number;

  constructor(nowMs: number) {
    this.#filledAtMs = nowMs;
  }

  /** Whether one more may be sent now; if so, it counts as sent. `patient`: nothing depends on its being sent soon. */
  take(need: 'urgent' | 'regular' | 'patient', nowMs: number): boolean {
    this.#fill(nowMs);
    if (need === 'urgent' && this.#reserve >= 1) this.#reserve--;
    else if (this.#regular >= (need === 'regular' ? 1 : REGULAR_KEPT)) this.#regular--;
    else return false;
    return true;
  }

  #fill(nowMs: number): void {
    const seconds = Math.max(0, nowMs - this.#filledAtMs) / 1000;
    this.#filledAtMs = nowMs;
    const regular = this.#regular + seconds * REGULAR_PER_SECOND;
    this.#regular = Math.min(REGULAR_BURST, regular);
    const left = regular - this.#regular;
    const reserve = this.#reserve + seconds * (PROBES_PER_SECOND - REGULAR_PER_SECOND) + left;
    this.#reserve = Math.min(RESERVE, reserve);
  }
}
