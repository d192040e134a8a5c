/** The daemon's face towards the command line: how agents are started, and how a host is cleaned after them. */

import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import type {
  AgentStart,
  Launcher,
  Ready,
  Running,
  TeardownOptions,
  TeardownResult,
} from '../cli/launcher.ts';
import { loadClusterFile } from '../cluster/cluster-file.ts';
import { loadIdentity } from '../cluster/identity.ts';
import { readAgentOptions, resolveAgentOptions } from '../config/agent-options.ts';
import type { OpFailure } from '../dataplane/kernel.ts';
import { isOurDevice, isOurRoute } from '../dataplane/ownership.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import { HostFirewall } from '../firewall/host-firewall.ts';
import { FAMILIES } from '../net/ip.ts';
import { NetlinkKernel } from '../netlink/kernel.ts';
import type { NodeId } from '../subnet/lease.ts';
import { readSubnetFile } from '../subnet/subnet-file.ts';
import { dataFiles, foundFile } from './directories.ts';
import { initCluster } from './init.ts';
import { joinExisting } from './join.ts';
import { lockDirectory } from './lock.ts';
import { notAMember, readyFacts, running, startMember } from './member-start.ts';
import { openWorkplace } from './workplace.ts';

export const launcher: Launcher = { init: initCluster, join: joinExisting, agent: startAgent };

async function startAgent(options: AgentStart): Promise<Running<Ready>> {
  const workplace = await openWorkplace(options, { joins: null, peers: [], families: FAMILIES });
  try {
    const identity = await loadIdentity(options.dataDir);
    const file = await loadClusterFile(options.dataDir);
    if (identity === null || file?.state !== 'member') throw notAMember(options.dataDir);
    const agent = await startMember(workplace, identity, file);
    return running(agent, async () => readyFacts(agent, workplace));
  } catch (error) {
    await workplace.close();
    throw error;
  }
}

/** Removes what is ours from this host, and nothing else; an agent that still runs keeps it out by the lock. */
export async function teardown({ dataDir, runDir, purge }: TeardownOptions): Promise<TeardownResult> {
  await using _lock = await lockDirectory(dataDir);
  const identity = await loadIdentity(dataDir);
  const removed: string[] = [];
  const kernel = NetlinkKernel.open();
  try {
    if (identity !== null) {
      removed.push(...(await removeFromKernel(kernel, identity.nodeId)));
    }
    await new HostFirewall({ foundFile: foundFile(runDir), watch: null }).remove();
  } finally {
    kernel.close();
  }
  removed.push('firewall rules');
  // Of a lease that is given back: Docker must not start from it again.
  if (purge || (await loadClusterFile(dataDir)) === null) removed.push(...(await removeSubnetFile(dataDir)));
  if (purge) {
    await rm(dataDir, { recursive: true, force: true });
    removed.push(dataDir);
  }
  return { removed };
}

/** Throws TsflannelError for what the kernel would not let go. */
async function removeFromKernel(kernel: NetlinkKernel, nodeId: NodeId): Promise<readonly string[]> {
  const { routes, links } = await kernel.read();
  const ours = routes.filter(isOurRoute).length;
  const devices = links.filter((link) => isOurDevice(link, nodeId)).map(({ name }) => `device ${name}`);
  await using reconciler = new Reconciler({ kernel, nodeId });
  const [failure] = await reconciler.removeAll();
  if (failure !== undefined) throw new TsflannelError(notRemoved(failure));
  return ours === 0 ? devices : [`${ours} ${ours === 1 ? 'route' : 'routes'}`, ...devices];
}

function notRemoved({ op, text }: OpFailure): Refusal {
  return refuse(
    'not-removed',
    EXIT.failed,
    `The kernel refused a ${op.kind}: ${text}.`,
    'Run "tsflannel down" again, or remove what "ip route show proto 139" and "ip link" still show by hand.',
  );
}

async function removeSubnetFile(dataDir: string): Promise<readonly string[]> {
  const stored = await readAgentOptions(dataFiles(dataDir).options);
  const resolved = resolveAgentOptions({ flags: {}, stored, hostName: hostname() });
  if (!resolved.ok) throw new TsflannelError(resolved.refusal);
  const { subnetFile } = resolved.options;
  if ((await readSubnetFile(subnetFile)) === undefined) return [];
  await rm(subnetFile);
  return [subnetFile];
}
