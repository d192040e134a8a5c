/**
 * `status --wait`: returns as soon as something holds, also when the agent is only just being started. A lease counts
 * from subnet.env alone, so that Docker starts from it without an agent and without a quorum.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, type ExitCode, TsflannelError } from '../errors.ts';
import type { WaitTarget } from '../observe/health.ts';
import type { Status } from '../observe/status.ts';
import type { Context } from './context.ts';
import { DEFAULT_WAIT_MS } from './options.ts';
import type { Report } from './output.ts';
import { readSubnetVariables } from './subnet-variables.ts';
import { count } from './table.ts';

/** Between two looks for an agent or a file that is not there yet. */
const RETRY_MS = 100;

export async function waitFor(context: Context, target: WaitTarget): Promise<ExitCode> {
  const deadline = performance.now() + context.timeoutMs(DEFAULT_WAIT_MS);
  for (;;) {
    const report = await ask(context, target, Math.ceil(Math.max(0, deadline - performance.now())));
    if (report instanceof TsflannelError) {
      if (performance.now() + RETRY_MS >= deadline) throw report;
      await sleep(RETRY_MS);
    } else {
      context.output.report(report);
      return EXIT.ok;
    }
  }
}

/** A missing agent is the one refusal that waiting can cure: it is given back, others are thrown. */
async function ask(
  context: Context,
  target: WaitTarget,
  timeoutMs: number,
): Promise<Report | TsflannelError> {
  try {
    return reached(target, await context.ask('wait', { target }, timeoutMs));
  } catch (error) {
    if (!(error instanceof TsflannelError) || error.refusal.exitCode !== EXIT.noAgent) throw error;
    return (target === 'lease' ? await leaseOnDisk(context) : undefined) ?? error;
  }
}

function reached(target: WaitTarget, status: Status): Report {
  return { document: status, text: reachedText(target, status) };
}

function reachedText(target: WaitTarget, { lease, raft, peers, node }: Status): string {
  switch (target) {
    case 'lease':
      return `lease ${lease?.subnet ?? lease?.ipv6Subnet ?? ''}`;
    case 'ready':
      return `${node.name} is ready`;
    case 'quorum':
      return `leader is ${raft.leader?.name ?? ''}`;
    case 'direct':
      return `${count(peers.filter((peer) => peer.path === 'direct').length, 'peer')} direct`;
  }
}

async function leaseOnDisk(context: Context): Promise<Report | undefined> {
  const [{ parseSubnetFile }, file] = await Promise.all([
    import('../subnet/subnet-file.ts'),
    readSubnetVariables(context),
  ]);
  const { subnet, ipv6Subnet } = parseSubnetFile(file.text ?? '');
  if (subnet === null) return undefined;
  const mtu = Number(file.variables.get('FLANNEL_MTU'));
  return {
    document: { lease: { subnet, ipv6Subnet, mtu, expiresAt: null } },
    text: `lease ${subnet} (from ${file.path}; no agent is running)`,
  };
}
