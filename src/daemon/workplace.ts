/**
 * What every start of an agent opens before it speaks to anybody: the directory lock, the options, the kernel, the
 * interface, the firewall, and what this host had before. Owns them until an agent takes them over; a start that is
 * refused closes it and leaves the host as it was.
 */
import { hostname } from 'node:os';
import { tunnelled } from '../backend/backend.ts';
import { vtepMac, vxlanDeviceName } from '../backend/vxlan.ts';
import type { StartOptions } from '../cli/launcher.ts';
import {
  type AgentOptions,
  type RawAgentOptions,
  readAgentOptions,
  resolveAgentOptions,
  writeAgentOptions,
} from '../config/agent-options.ts';
import { type BackendConfig, type NetworkConfig, subnetRange } from '../config/network-config.ts';
import type { ActualState } from '../dataplane/kernel.ts';
import { networkConflicts } from '../dataplane/network-conflicts.ts';
import { isAdoptable } from '../dataplane/ownership.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { HostFirewall } from '../firewall/host-firewall.ts';
import { RulesetWatch } from '../firewall/ruleset-watch.ts';
import { FAMILIES, type Family, type Ip } from '../net/ip.ts';
import { NetlinkKernel } from '../netlink/kernel.ts';
import type { NodeId } from '../subnet/lease.ts';
import { dataFiles, foundFile } from './directories.ts';
import { HostWatcher } from './host-watcher.ts';
import { type DirectoryLock, lockDirectory } from './lock.ts';
import { type PreviousSubnets, readPreviousSubnets } from './previous-subnets.ts';
import { requireNetworkAdmin } from './privileges.ts';

export interface Workplace {
  readonly start: StartOptions;
  readonly options: AgentOptions;
  readonly kernel: NetlinkKernel;
  readonly watcher: HostWatcher;
  readonly firewall: Firewall;
  readonly previous: PreviousSubnets;
  readonly lock: DirectoryLock;
  /** Aborted, with the TsflannelError as its reason, when no agent may run from this directory any more. */
  readonly disqualified: AbortSignal;
  disqualify(error: TsflannelError): void;
  /** Stores what was given, for the starts that give nothing. */
  saveOptions(): Promise<void>;
  /** Throws TsflannelError (exit 7) when something on this host stands in the way of the network or its device. */
  checkConflicts(config: NetworkConfig, nodeId: NodeId): Promise<void>;
  close(): Promise<void>;
}

export interface WorkplaceWish {
  readonly joins: Ip | null;
  readonly peers: readonly Ip[];
  /** Of the network, where it is known; both else. */
  readonly families: readonly Family[];
}

export async function openWorkplace(start: StartOptions, wish: WorkplaceWish): Promise<Workplace> {
  await requireNetworkAdmin();
  const lock = await lockDirectory(start.dataDir);
  try {
    const kernel = NetlinkKernel.open();
    try {
      return await equip(start, wish, lock, kernel);
    } catch (error) {
      kernel.close();
      throw error;
    }
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function equip(
  start: StartOptions,
  wish: WorkplaceWish,
  lock: DirectoryLock,
  kernel: NetlinkKernel,
): Promise<Workplace> {
  const { log, dataDir } = start;
  const files = dataFiles(dataDir);
  const path = files.options;
  const stored = await readAgentOptions(path);
  const resolved = resolveAgentOptions({ flags: start.given, stored, hostName: hostname() });
  if (!resolved.ok) throw new TsflannelError(resolved.refusal);
  const { options, given } = resolved;
  const watcher = await HostWatcher.start({ kernel, agent: options, ...wish, log });
  const { addresses } = await kernel.read();
  const disqualification = new AbortController();
  const rulesetWatch = RulesetWatch.open();
  return {
    start,
    options,
    kernel,
    watcher,
    firewall: new HostFirewall({ foundFile: foundFile(start.runDir), watch: rulesetWatch }),
    previous: await readPreviousSubnets(files.leaseCache, options.subnetFile, addresses),
    lock,
    disqualified: disqualification.signal,
    disqualify: (error) => disqualification.abort(error),
    saveOptions: () => writeAgentOptions(path, withInterface(given, watcher)),
    checkConflicts: async (config, nodeId) => {
      const actual = await kernel.read();
      for (const family of FAMILIES) {
        const range = subnetRange(config, family);
        if (range === null) continue;
        const foreign = await kernel.foreignRoutes(range.network);
        const { conflict, warnings } = networkConflicts(range.network, actual, foreign);
        const refusal = conflict ?? deviceConflict(config.Backend, nodeId, family, actual);
        if (refusal !== null) throw new TsflannelError(refusal);
        for (const { code, text, fix } of warnings) log.warn(code, text, { fix });
      }
    },
    close: async () => {
      rulesetWatch.close();
      watcher[Symbol.dispose]();
      kernel.close();
      await lock.release();
    },
  };
}

/** The interface that was found by where the cluster is must be found again by a start that does not say where. */
function withInterface(given: RawAgentOptions, { selection }: HostWatcher): RawAgentOptions {
  const isNamed =
    given.iface ??
    given['iface-regex'] ??
    given['iface-can-reach'] ??
    given['public-ip'] ??
    given['public-ipv6'];
  return isNamed !== undefined || selection === null ? given : { ...given, iface: [selection.host.iface] };
}

/** A device of somebody else with the name that ours has; flanneld makes one. */
function deviceConflict(
  backend: BackendConfig,
  nodeId: NodeId,
  family: Family,
  { links }: ActualState,
): Refusal | null {
  if (!tunnelled(backend)) return null;
  const name = vxlanDeviceName(backend.VNI, family);
  const holder = links.find((link) => link.name === name);
  if (holder === undefined || isAdoptable(holder, vtepMac(nodeId, family))) return null;
  return refuse(
    'device-in-use',
    EXIT.conflict,
    `Interface ${name} is there already and is not ours.`,
    `Stop what made it (flanneld?) and run "ip link delete ${name}", or give the network another "VNI".`,
  );
}
