/**
 * Knows which interface and address of this host carry the traffic between hosts, now: chooses by the user's wish, and
 * chooses again when links or addresses change. A missing interface is a state and not an error, for at boot it may
 * come later; only who starts a membership asks for it at once.
 */
import type { AgentOptions } from '../config/agent-options.ts';
import type { Kernel } from '../dataplane/kernel.ts';
import { type Refusal, TsflannelError } from '../errors.ts';
import type { Ip } from '../net/ip.ts';
import type { Log } from '../observe/log.ts';
import { readInterfaceFacts } from '../path/interface-facts.ts';
import {
  type InterfaceWish,
  type Selection,
  type SelectionResult,
  selectInterface,
} from '../path/interface-selection.ts';

export interface WatchOptions {
  readonly kernel: Kernel;
  readonly agent: AgentOptions;
  /** The address that is joined. */
  readonly joins: Ip | null;
  /** The hosts that `init` names. */
  readonly peers: readonly Ip[];
  readonly log: Log;
}

/** A renewed address goes and comes within this. */
const SETTLE_MS = 50;

export class HostWatcher implements Disposable {
  readonly #options: WatchOptions;
  readonly #stopListening: () => void;
  readonly #listeners = new Set<() => void>();
  #result: SelectionResult;
  #timer: NodeJS.Timeout | null = null;

  static async start(options: WatchOptions): Promise<HostWatcher> {
    return new HostWatcher(options, await choose(options));
  }

  private constructor(options: WatchOptions, result: SelectionResult) {
    this.#options = options;
    this.#result = result;
    this.#stopListening = options.kernel.onEvent((event) => {
      if (event.kind === 'link' || event.kind === 'address' || event.kind === 'overflow') this.#later();
    });
  }

  get selection(): Selection | null {
    return this.#result.ok ? this.#result.selection : null;
  }

  /** Why there is none. */
  get refusal(): Refusal | null {
    return this.#result.ok ? null : this.#result.refusal;
  }

  /** Throws TsflannelError (exit 2) where there is none. */
  require(): Selection {
    if (!this.#result.ok) throw new TsflannelError(this.#result.refusal);
    return this.#result.selection;
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  [Symbol.dispose](): void {
    this.#stopListening();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #later(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#look();
    }, SETTLE_MS);
  }

  async #look(): Promise<void> {
    const before = JSON.stringify(this.#result);
    this.#result = await choose(this.#options);
    if (JSON.stringify(this.#result) === before) return;
    const { log } = this.#options;
    if (this.#result.ok) {
      const { host, publicIp, publicIpv6 } = this.#result.selection;
      const addresses = [host.address, host.address6].filter((ip) => ip !== null).join(' and ');
      log.info('interface-chosen', `Interface ${host.iface} with ${addresses} is used.`, {
        publicIp,
        publicIpv6,
        mtu: host.mtu,
      });
    } else log.warn('interface-missing', this.#result.refusal.text, { fix: this.#result.refusal.fix });
    for (const listener of this.#listeners) listener();
  }
}

async function choose({ kernel, agent, joins, peers }: WatchOptions): Promise<SelectionResult> {
  const wish: InterfaceWish = {
    iface: agent.iface,
    ifaceRegex: agent.ifaceRegex,
    canReach: agent.ifaceCanReach,
    publicIp: agent.publicIp,
    publicIpv6: agent.publicIpv6,
    joins,
    peers,
  };
  return selectInterface(wish, await readInterfaceFacts(kernel, wish));
}
