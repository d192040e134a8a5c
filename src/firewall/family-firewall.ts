/**
 * The rules of one address family: our nftables table and our part of iptables, in that order, so that what guards
 * stands before what opens. Looks at the kernel at each call and decides by what it sees.
 */
import { type Family, ipFamily } from '../net/ip.ts';
import { forwardChainRules, rawChainRules } from './chain-rules.ts';
import { DOCKER_TABLE, type DockerBridges, parseDockerBridges } from './docker-bridges.ts';
import { engineNeeds } from './engine-needs.ts';
import type { Exec } from './exec.ts';
import type { FilterFound } from './filter-table.ts';
import type { FirewallConfig, FirewallFamily, FirewallProblem } from './firewall.ts';
import { type FilterMemory, Iptables, type IptablesTables } from './iptables.ts';
import { Nftables } from './nftables.ts';
import { nftRuleset } from './rules.ts';

export interface FamilyApplied {
  readonly wrote: boolean;
  readonly problems: readonly FirewallProblem[];
}

export class FamilyFirewall {
  readonly family: Family;
  readonly #nftables: Nftables;
  readonly #iptables: Iptables;

  constructor(exec: Exec, family: Family) {
    this.family = family;
    this.#nftables = new Nftables(exec, family);
    this.#iptables = new Iptables(exec, family);
  }

  async check(): Promise<void> {
    await this.#nftables.check();
    await this.#iptables.read();
  }

  read(): Promise<IptablesTables> {
    return this.#iptables.read();
  }

  /** `turnedOn`: this host forwards because of us. */
  async apply(
    config: FirewallConfig,
    family: FirewallFamily,
    turnedOn: boolean,
    memory: FilterMemory,
  ): Promise<FamilyApplied> {
    const tables = await this.#iptables.read();
    const docker = await this.#docker(config, family);
    const needs = engineNeeds(config, family, { tables, docker }, turnedOn);
    const { policy, problems } = needs;
    const nft = await this.#nftables.apply(nftRuleset(config, family, needs));
    const rules = config.forwardRules ? forwardChainRules(family) : null;
    const raw = needs.raw ? rawChainRules(config, family) : null;
    const iptables = await this.#iptables.apply(tables, { rules, raw, policy }, memory);
    return { wrote: nft || iptables, problems };
  }

  /** Forwarding is off by now, where it is to be. */
  async remove(tables: IptablesTables, found: FilterFound): Promise<void> {
    await this.#iptables.remove(tables, found);
    await this.#nftables.remove();
  }

  /** An engine that says it uses iptables has no table there. */
  async #docker({ engine }: FirewallConfig, { subnet }: FirewallFamily): Promise<DockerBridges | null> {
    if (engine?.firewallBackend === 'iptables') return null;
    return parseDockerBridges(await this.#nftables.list(DOCKER_TABLE), subnet);
  }
}

export function familyOf({ base }: FirewallFamily): Family {
  return ipFamily(base);
}
