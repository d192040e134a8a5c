/**
 * Which counters of a key were seen, for the newest REPLAY_WINDOW_BITS of them; whatever is older counts as seen.
 * The bits are a ring over the counter, so that moving on costs one word for each 32 counters and never a shift.
 * It must be asked only after the tag was verified: a forged counter must not move the window (RFC 6479).
 */
import { assert } from '../core/types.ts';
import { REPLAY_WINDOW_BITS } from '../limits.ts';

const WORD_BITS = 32;
/** One word more than the window: the word that the newest counter is in fills up while the window stays whole. */
const WORDS = REPLAY_WINDOW_BITS / WORD_BITS + 1;

export class ReplayWindow {
  readonly #words = new Uint32Array(WORDS);
  #newest = -1;

  /** The newest counter seen, -1 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** True, and remembers it, when `counter` is new. */
  accept(counter: number): boolean {
    assert(Number.isSafeInteger(counter) && counter >= 0, `counter out of range: ${counter}`);
    if (counter <= this.#newest - REPLAY_WINDOW_BITS) return false;
    this.#moveTo(counter);
    const word = Math.floor(counter / WORD_BITS) % WORDS;
    const bit = 1 << (counter % WORD_BITS);
    const seen = this.#words[word] ?? 0;
    if ((seen & bit) !== 0) return false;
    this.#words[word] = seen | bit;
    return true;
  }

  /** Clears the words between the old newest counter and the new one. */
  #moveTo(counter: number): void {
    if (counter <= this.#newest) return;
    const from = Math.floor(this.#newest / WORD_BITS);
    const to = Math.floor(counter / WORD_BITS);
    for (let word = Math.max(from + 1, to - WORDS + 1); word <= to; word++) this.#words[word % WORDS] = 0;
    this.#newest = counter;
  }
}
