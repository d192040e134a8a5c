/**
 * The firewall of this host: our nftables table, our part of iptables' filter table and the sysctls, in the order that
 * never leaves a gap: forwarding is turned on after its guard stands, and off before the guard falls. Looks at the
 * kernel at each call and remembers nothing that it could read there; what was found before us is in a file. An
 * unchanged host costs two short processes and a handful of reads. Calls are served one after the other.
 */
import { cidrFamily } from '../net/cidr.ts';
import { type Exec, exec } from './exec.ts';
import { engineWasHere, type FilterFound } from './filter-table.ts';
import type { Firewall, FirewallConfig } from './firewall.ts';
import { type Found, forgetFound, readFound, writeFound } from './found-file.ts';
import { Iptables } from './iptables.ts';
import { Nftables } from './nftables.ts';
import { forwardChainRules, nftRuleset } from './rules.ts';
import {
  BOOT_ID,
  FORWARDING,
  forwardingChange,
  procSysctls,
  restoreSysctls,
  reversePathChanges,
  type SysctlChange,
  type Sysctls,
} from './sysctl.ts';

export interface HostFirewallOptions {
  /** Holds what was found before us. */
  readonly foundFile: string;
  /** Instead of this process's own namespace. */
  readonly exec?: Exec;
  readonly sysctls?: Sysctls;
}

export class HostFirewall implements Firewall {
  readonly #foundFile: string;
  readonly #sysctls: Sysctls;
  readonly #nftables: Nftables;
  readonly #iptables: Iptables;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: HostFirewallOptions) {
    const run = options.exec ?? exec;
    this.#foundFile = options.foundFile;
    this.#sysctls = options.sysctls ?? procSysctls;
    this.#nftables = new Nftables(run);
    this.#iptables = new Iptables(run);
  }

  async check(): Promise<void> {
    await this.#nftables.check();
    await this.#iptables.read();
  }

  apply(config: FirewallConfig): Promise<boolean> {
    return this.#next(() => this.#apply(config));
  }

  remove(): Promise<void> {
    return this.#next(() => this.#remove());
  }

  async #apply(config: FirewallConfig): Promise<boolean> {
    const { sysctls, filter: found } = await this.#found();
    const forwarding = await forwardingChange(this.#sysctls);
    const guard = forwarding.length > 0 || FORWARDING in sysctls;
    const family = config.families.find(({ network }) => cidrFamily(network) === 4);
    if (family === undefined) return false;
    const rules = config.forwardRules ? forwardChainRules(family) : null;
    const keep = (filter: FilterFound): Promise<void> => this.#keep({ sysctls, filter });
    const nft = await this.#nftables.apply(nftRuleset(config, family, guard));
    const iptables = await this.#iptables.apply({ rules, dropPolicy: guard }, { found, keep });
    const device = family.vxlan === null ? [] : [family.vxlan.device];
    const changes = [...forwarding, ...(await reversePathChanges(this.#sysctls, [config.iface, ...device]))];
    await this.#set(changes);
    return nft || iptables || changes.length > 0;
  }

  async #set(changes: readonly SysctlChange[]): Promise<void> {
    if (changes.length === 0) return;
    const found = await this.#found();
    const old = Object.fromEntries(changes.map(({ key, from }) => [key, from]));
    // The first value that was found is the one to go back to.
    await this.#keep({ ...found, sysctls: { ...old, ...found.sysctls } });
    for (const { key, to } of changes) await this.#sysctls.write(key, to);
  }

  async #remove(): Promise<void> {
    const { sysctls, filter } = await this.#found();
    const table = await this.#iptables.read();
    const { [FORWARDING]: _, ...others } = sysctls;
    // An engine that came after us relies on forwarding as it found it, and would have set the same policy.
    await restoreSysctls(this.#sysctls, engineWasHere(table) ? others : sysctls);
    await this.#iptables.remove(table, filter);
    await this.#nftables.remove();
    await forgetFound(this.#foundFile);
  }

  async #found(): Promise<Found> {
    return readFound(this.#foundFile, await this.#bootId());
  }

  async #keep(found: Found): Promise<void> {
    await writeFound(this.#foundFile, await this.#bootId(), found);
  }

  async #bootId(): Promise<string> {
    return (await this.#sysctls.read(BOOT_ID)) ?? '';
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined); // whoever asked gets the error
    return result;
  }
}
