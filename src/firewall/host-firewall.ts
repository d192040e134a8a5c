/**
 * The firewall of this host: the rules of both address families and the sysctls, in the order that never leaves a gap:
 * forwarding is turned on after its guard stands, and off before the guard falls. Looks at the kernel and remembers
 * nothing that it could read there; what was found before us is in a file. With a watch it starts no tool while nobody
 * has changed a rule. Calls are served one after the other.
 */
import type { Family } from '../net/ip.ts';
import { type Exec, exec } from './exec.ts';
import { FamilyFirewall, familyOf } from './family-firewall.ts';
import { engineWasHere, type FilterFound } from './filter-table.ts';
import type { Firewall, FirewallConfig, FirewallProblem } from './firewall.ts';
import { type Found, forgetFound, NOTHING_MISSING, readFound, writeFound } from './found-file.ts';
import type { IptablesTables } from './iptables.ts';
import { uplinks } from './rules.ts';
import type { RulesetWatch } from './ruleset-watch.ts';
import {
  BOOT_ID,
  FORWARDING,
  forwardingChanges,
  procSysctls,
  restoreSysctls,
  type SysctlChange,
  type Sysctls,
  settingChanges,
} from './sysctl.ts';

/** Somebody who undoes what we do is not to be answered for ever; the next look is soon enough. */
const ROUNDS_MAX = 3;

export interface HostFirewallOptions {
  /** Holds what was found before us. */
  readonly foundFile: string;
  /** Null: nobody tells of changes, so the tools are asked at each call. */
  readonly watch: RulesetWatch | null;
  /** Instead of this process's own namespace. */
  readonly exec?: Exec;
  readonly sysctls?: Sysctls;
}

export class HostFirewall implements Firewall {
  readonly #foundFile: string;
  readonly #sysctls: Sysctls;
  readonly #watch: RulesetWatch | null;
  readonly #families: Readonly<Record<Family, FamilyFirewall>>;
  #problems: readonly FirewallProblem[] = [];
  /** What was applied, and the state of all rules of this host in which nothing was to be done for it. */
  #settled: { readonly config: string; readonly state: string } | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: HostFirewallOptions) {
    const run = options.exec ?? exec;
    this.#foundFile = options.foundFile;
    this.#sysctls = options.sysctls ?? procSysctls;
    this.#watch = options.watch;
    this.#families = { 4: new FamilyFirewall(run, 4), 6: new FamilyFirewall(run, 6) };
  }

  get problems(): readonly FirewallProblem[] {
    return this.#problems;
  }

  async check(): Promise<void> {
    await this.#families[4].check();
  }

  apply(config: FirewallConfig): Promise<boolean> {
    return this.#next(() => this.#apply(config));
  }

  onChange(listener: () => void): () => void {
    return (
      this.#watch?.onChange(() => {
        if (this.#settled !== null && this.#watch?.state() !== this.#settled.state) listener();
      }) ?? (() => undefined)
    );
  }

  remove(): Promise<void> {
    return this.#next(() => this.#remove());
  }

  async #apply(config: FirewallConfig): Promise<boolean> {
    const text = JSON.stringify(config);
    let wrote = false;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      // Before the look: what is changed meanwhile is another state.
      const state = this.#watch?.state() ?? null;
      const isSettled = state !== null && this.#settled?.config === text && this.#settled.state === state;
      const repaired = isSettled ? await this.#applySysctls(config) : await this.#applyAll(config);
      wrote ||= repaired;
      if (state === null) return wrote;
      if (repaired) continue;
      this.#settled = { config: text, state };
      return wrote;
    }
    return wrote;
  }

  async #applyAll(config: FirewallConfig): Promise<boolean> {
    const families = config.families.map(familyOf);
    let wrote = await this.#leave(families);
    const problems: FirewallProblem[] = [];
    for (const family of config.families) {
      const f = familyOf(family);
      const { sysctls, filters } = await this.#found();
      const turnsOn = (await this.#sysctls.read(FORWARDING[f])) === '0';
      const keep = async (filter: FilterFound): Promise<void> =>
        this.#keep({ sysctls, filters: { ...filters, [f]: filter } });
      const memory = { found: filters[f] ?? NOTHING_MISSING, keep };
      const isOurs = turnsOn || FORWARDING[f] in sysctls;
      const applied = await this.#families[f].apply(config, family, isOurs, memory);
      wrote ||= applied.wrote;
      problems.push(...applied.problems);
    }
    this.#problems = problems;
    return (await this.#applySysctls(config)) || wrote;
  }

  async #applySysctls(config: FirewallConfig): Promise<boolean> {
    const families = config.families.map(familyOf);
    const wish = {
      families,
      uplinks: [...new Set(config.families.flatMap((family) => uplinks(config, family)))],
      devices: config.families.flatMap(({ vxlan }) => (vxlan === null ? [] : [vxlan.device])),
      marks: config.probes !== null,
    };
    const changes = [...(await settingChanges(this.#sysctls, wish))];
    for (const f of families) changes.push(...(await forwardingChanges(this.#sysctls, f, config.iface)));
    await this.#set(changes);
    return changes.length > 0;
  }

  async #set(changes: readonly SysctlChange[]): Promise<void> {
    if (changes.length === 0) return;
    const found = await this.#found();
    const old = Object.fromEntries(changes.map(({ key, from }) => [key, from]));
    // The first value that was found is the one to go back to.
    await this.#keep({ ...found, sysctls: { ...old, ...found.sysctls } });
    for (const { key, to } of changes) await this.#sysctls.write(key, to);
  }

  /** Families that are not configured any more. Resolves to whether there were any. */
  async #leave(wanted: readonly Family[]): Promise<boolean> {
    const found = await this.#found();
    const left = ([4, 6] as const).filter((f) => found.filters[f] !== undefined && !wanted.includes(f));
    for (const f of left) await this.#removeFamily(f, await this.#families[f].read(), await this.#found());
    return left.length > 0;
  }

  async #remove(): Promise<void> {
    this.#settled = null;
    this.#problems = [];
    const found = await this.#found();
    await this.#removeFamily(4, await this.#families[4].read(), found);
    const six = await this.#readSix(found);
    if (six !== null) await this.#removeFamily(6, six, await this.#found());
    const { sysctls } = await this.#found();
    await restoreSysctls(this.#sysctls, sysctls);
    await forgetFound(this.#foundFile);
  }

  /** Null on a host without IPv6, where nothing of ours can be. */
  async #readSix({ filters }: Found): Promise<IptablesTables | null> {
    const read = this.#families[6].read();
    return filters[6] === undefined ? read.catch(() => null) : read;
  }

  /** What was found of it is forgotten with it. */
  async #removeFamily(f: Family, tables: IptablesTables, { sysctls, filters }: Found): Promise<void> {
    const isOfFamily = (key: string): boolean => key.startsWith(`net/ipv${f}/`);
    const own = Object.entries(sysctls).filter(([key]) => isOfFamily(key));
    // An engine that came after us relies on forwarding as it found it, and would have set the same policy.
    const stays = engineWasHere(tables.filter) ? FORWARDING[f] : null;
    await restoreSysctls(this.#sysctls, Object.fromEntries(own.filter(([key]) => key !== stays)));
    await this.#families[f].remove(tables, filters[f] ?? NOTHING_MISSING);
    const rest = Object.entries(sysctls).filter(([key]) => !isOfFamily(key));
    const { [f]: _, ...others } = filters;
    await this.#keep({ sysctls: Object.fromEntries(rest), filters: others });
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
