/**
 * Knows which interface and address of this host carry the traffic between hosts, now: chooses by the user's wish, and
 * chooses again when links or addresses change. A missing interface is a state and not an error, for at boot it may
 * come later; only who starts a membership asks for it at once.
 */
import type { AgentOptions } from '../config/agent-options.ts';
import type { Kernel } from '../dataplane/kernel.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Log } from '../observe/log.ts';
import { readInterfaceFacts } from '../path/interface-facts.ts';
import {
  type InterfaceFacts,
  type InterfaceWish,
  missingFamilies,
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
  /** Of the network, where it is known. */
  readonly families: readonly Family[];
  readonly log: Log;
}

/** A renewed address goes and comes within this. */
const SETTLE_MS = 50;

export class HostWatcher implements Disposable {
  readonly #options: WatchOptions;
  readonly #stopListening: () => void;
  readonly #listeners = new Set<() => void>();
  #families: readonly Family[];
  #facts: InterfaceFacts;
  #result: SelectionResult;
  #timer: NodeJS.Timeout | null = null;

  static async start(options: WatchOptions): Promise<HostWatcher> {
    return new HostWatcher(options, await readFacts(options));
  }

  private constructor(options: WatchOptions, facts: InterfaceFacts) {
    this.#options = options;
    this.#families = options.families;
    this.#facts = facts;
    this.#result = this.#choose();
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

  /** The same, and where an address of a family is missing. */
  requireAll(): void {
    const { host } = this.require();
    const [family] = this.missing;
    if (family !== undefined) throw new TsflannelError(addressMissing(host.iface, family));
  }

  /** Those that the interface has no address of now: at boot, and after its link was down, they may come later. */
  get missing(): readonly Family[] {
    return this.#result.ok ? missingFamilies(this.#result.selection, this.#families) : [];
  }

  /** The network is known now, and what it has. */
  setFamilies(families: readonly Family[]): void {
    if (families.join() === this.#families.join()) return;
    this.#families = families;
    this.#chooseAgain();
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
    this.#facts = await readFacts(this.#options);
    this.#chooseAgain();
  }

  #choose(): SelectionResult {
    return selectInterface({ ...wishOf(this.#options), families: this.#families }, this.#facts);
  }

  #chooseAgain(): void {
    const before = JSON.stringify(this.#result);
    this.#result = this.#choose();
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

export function addressMissing(iface: string, family: Family): Refusal {
  return refuse(
    'no-address',
    EXIT.usage,
    `Interface ${iface} has no IPv${family} address to use, and the network has IPv${family}.`,
    'Give it one, or name another interface with --iface.',
  );
}

function wishOf({ agent, joins, peers, families }: WatchOptions): InterfaceWish {
  return {
    iface: agent.iface,
    ifaceRegex: agent.ifaceRegex,
    canReach: agent.ifaceCanReach,
    publicIp: agent.publicIp,
    publicIpv6: agent.publicIpv6,
    joins,
    peers,
    families,
  };
}

async function readFacts(options: WatchOptions): Promise<InterfaceFacts> {
  return await readInterfaceFacts(options.kernel, wishOf(options));
}
