/** `paths [peer]`: both ways to each peer, what probes say of them, and which one is used. */

import { EXIT, TsflannelError } from '../../errors.ts';
import type { CandidateFacts } from '../../observe/agent-facts.ts';
import type { StatusPeer } from '../../observe/status.ts';
import { matchMember } from '../../subnet/member-match.ts';
import type { CommandFunction } from '../context.ts';
import type { Paint } from '../output.ts';
import { pathCell } from '../status-text.ts';
import { type Cell, orDash, table } from '../table.ts';

export const paths: CommandFunction = async (context, [name]) => {
  const { peers } = await context.ask('status', {});
  const shown = name === undefined ? peers : [peerCalled(name, peers)];
  context.output.report({ document: shown, text: pathTable(shown, context.output.paint) });
  return EXIT.ok;
};

function peerCalled(name: string, peers: readonly StatusPeer[]): StatusPeer {
  const match = matchMember(
    peers.map((peer) => ({ nodeId: peer.id, name: peer.name, peer })),
    name,
  );
  if (!match.ok) throw new TsflannelError(match.refusal);
  return match.member.peer;
}

/** A line for each way, with `*` at the one that is used. */
function pathTable(peers: readonly StatusPeer[], paint: Paint): string {
  const rows = peers.flatMap((peer) =>
    (['direct', 'vxlan'] as const).map((kind, index) => {
      const first = index === 0;
      const facts = peer[kind] ?? null;
      return [
        first ? peer.name : '',
        first ? pathCell(peer, paint) : '',
        first ? orDash(peer.since) : '',
        kind,
        candidateCell(facts, paint),
        facts === null || facts.rttMs === null ? '-' : `${facts.rttMs} ms`,
        facts === null || facts.loss === null ? '-' : `${Math.round(facts.loss * 100)} %`,
        orDash(facts?.mtu ?? null),
        (first ? peer.reason : null) ?? facts?.reason ?? '',
      ];
    }),
  );
  return table(['PEER', 'PATH', 'SINCE', 'WAY', 'STATE', 'RTT', 'LOSS', 'MTU', 'REASON'], rows);
}

function candidateCell(facts: CandidateFacts | null, paint: Paint): Cell {
  switch (facts?.state) {
    case undefined:
      return { text: '-' };
    case 'proven':
      return { text: 'proven', paint: paint.good };
    case 'dead':
      return { text: 'dead', paint: paint.bad };
    case 'unknown':
      return { text: 'unknown', paint: paint.warn };
    case 'impossible':
      return { text: 'impossible', paint: paint.faint };
  }
}
