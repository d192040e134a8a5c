/**
 * Says whether anybody has changed a rule of this host, without reading the rules and without a process: nftables (and
 * iptables-nft) by the kernel's generation and its events, iptables-legacy, which has no events, by a digest once a
 * second. A state is a text that is the same as long as nothing has changed.
 */
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { LegacyTables } from '../netlink/legacy-tables.ts';
import { NftablesGeneration } from '../netlink/nftables-generation.ts';

const LEGACY_PERIOD_MS = 1_000;
/** Docker makes and removes a container in a dozen transactions. */
const SETTLE_MS = 50;
/** Between two calls of the listeners: somebody who changes rules all the time must not keep us busy. */
const PAUSE_MS = 500;

export class RulesetWatch {
  readonly #generation: NftablesGeneration;
  readonly #legacy: readonly LegacyTables[];
  readonly #listeners = new Set<() => void>();
  readonly #period: NodeJS.Timeout;
  #legacyState: string;
  #unreadable = 0;
  #lastCall = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;

  private constructor() {
    this.#generation = NftablesGeneration.open(() => this.#changed());
    this.#legacy = ([4, 6] as const).flatMap((family) => LegacyTables.open(family) ?? []);
    this.#legacyState = this.#readLegacy();
    this.#period = setInterval(() => this.#lookAtLegacy(), LEGACY_PERIOD_MS);
  }

  /** In the network namespace of the calling thread. Throws TsflannelError. */
  static open(): RulesetWatch {
    try {
      return new RulesetWatch();
    } catch (cause) {
      const text = `The kernel does not say when firewall rules change: ${cause instanceof Error ? cause.message : cause}.`;
      const fix = 'Use a kernel with nf_tables, and run the agent with CAP_NET_ADMIN.';
      throw new TsflannelError(refuse('no-nftables', EXIT.failed, text, fix), { cause });
    }
  }

  state(): string {
    this.#legacyState = this.#readLegacy();
    return `${this.#generation.read()}\n${this.#legacyState}`;
  }

  /** Called some time after a change, whoever made it; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#period);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#generation.close();
    for (const tables of this.#legacy) tables.close();
  }

  #lookAtLegacy(): void {
    const before = this.#legacyState;
    this.#legacyState = this.#readLegacy();
    if (this.#legacyState !== before) this.#changed();
  }

  /** A table that changes its size between two questions is refused once, and is another afterwards anyway. */
  #readLegacy(): string {
    try {
      return this.#legacy.map((tables) => tables.digest()).join('\n');
    } catch {
      return `changing ${++this.#unreadable}`;
    }
  }

  #changed(): void {
    if (this.#timer !== null) return;
    const since = performance.now() - this.#lastCall;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#lastCall = performance.now();
        for (const listener of [...this.#listeners]) listener();
      },
      Math.max(SETTLE_MS, PAUSE_MS - since),
    );
  }
}
