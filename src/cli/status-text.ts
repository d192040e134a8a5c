/** The one screen of `status`: what matters first, then the peers, then what is wrong and what to do about it. Pure. */
import type { Health } from '../observe/health.ts';
import type { RaftStatus, Status, StatusPeer } from '../observe/status.ts';
import type { Paint } from './output.ts';
import { both, type Cell, count, orDash, pairs, shortId, table } from './table.ts';

export function statusText(status: Status, paint: Paint): string {
  const parts = [overview(status, paint)];
  if (status.peers.length > 0) parts.push(peerTable(status.peers, paint));
  if (status.problems.length > 0) parts.push(problemList(status, paint));
  return parts.join('\n\n');
}

function overview({ health, cluster, node, raft, lease, routes, version }: Status, paint: Paint): string {
  const { desired, installed, repaired, foreign } = routes;
  return pairs([
    ['health', healthPaint(health, paint)(health)],
    ['cluster', cluster.id ?? 'none yet'],
    [
      'node',
      `${node.name} (${shortId(node.id)}), ${both(node.publicIp, node.publicIpv6)} on ${orDash(node.iface)}, ${version}`,
    ],
    ['raft', raftText(raft)],
    [
      'lease',
      lease === null
        ? 'none yet'
        : `${both(lease.subnet, lease.ipv6Subnet)}, mtu ${lease.mtu}, until ${orDash(lease.expiresAt)}`,
    ],
    ['routes', `${installed} of ${desired} installed, ${repaired} repaired, ${foreign} foreign`],
  ]);
}

function healthPaint(health: Health, paint: Paint): (text: string) => string {
  switch (health) {
    case 'healthy':
      return paint.good;
    case 'degraded':
      return paint.warn;
    case 'no-quorum':
      return paint.bad;
  }
}

function raftText({
  role,
  term,
  commitIndex,
  appliedIndex,
  leader,
  voters,
  learners,
  ...raft
}: RaftStatus): string {
  if (role === null) return 'not running';
  const leading = role === 'leader' ? 'leader' : `${role}, leader ${leader?.name ?? 'none'}`;
  const size = `${count(voters ?? 0, 'voter')}, ${count(learners ?? 0, 'learner')}`;
  const tolerance = `${count(raft.failureTolerance ?? 0, 'voter')} may fail`;
  return `${leading}, term ${orDash(term)}, ${orDash(appliedIndex)}/${orDash(commitIndex)} applied, ${size}, ${tolerance}`;
}

function peerTable(peers: readonly StatusPeer[], paint: Paint): string {
  const rows = peers.map((peer) => [
    peer.name,
    both(peer.publicIp, peer.publicIpv6),
    both(peer.subnet, peer.ipv6Subnet),
    pathCell(peer, paint),
    peer.rttMs === null ? '-' : `${peer.rttMs} ms`,
    peer.loss === null ? '-' : `${Math.round(peer.loss * 100)} %`,
    orDash(peer.mtu),
    peer.reason ?? '',
  ]);
  return table(['PEER', 'ADDRESS', 'SUBNET', 'PATH', 'RTT', 'LOSS', 'MTU', 'REASON'], rows);
}

export function pathCell({ path }: StatusPeer, paint: Paint): Cell {
  switch (path) {
    case 'direct':
    case 'vxlan':
      return { text: path, paint: paint.good };
    case 'unproven':
      return { text: path, paint: paint.warn };
    case 'down':
      return { text: path, paint: paint.bad };
  }
}

function problemList({ problems }: Status, paint: Paint): string {
  const lines = problems.map(({ severity, text, fix }) => {
    const mark = severity === 'error' ? paint.bad('!') : paint.warn('?');
    return `${mark} ${text}\n  ${paint.faint(fix)}`;
  });
  return lines.join('\n');
}
