/** `routes`: what this host's kernel holds for the subnets of the others, beside what it should hold. */
import type { RouteEntry } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import type { Paint } from '../output.ts';
import { type Cell, orDash, table } from '../table.ts';

export const routes: CommandFunction = async (context) => {
  const answer = await context.ask('routes', {});
  context.output.report({ document: answer, text: routeTable(answer, context.output.paint) });
  return EXIT.ok;
};

function routeTable(all: readonly RouteEntry[], paint: Paint): string {
  const rows = all.map(({ dst, via, dev, state, owner, peer }) => [
    dst,
    orDash(via),
    orDash(dev),
    stateCell(state, paint),
    orDash(owner),
    orDash(peer),
  ]);
  return table(['DESTINATION', 'VIA', 'DEVICE', 'STATE', 'OWNER', 'PEER'], rows);
}

function stateCell(state: RouteEntry['state'], paint: Paint): Cell {
  switch (state) {
    case 'installed':
      return { text: state, paint: paint.good };
    case 'stale':
      return { text: state, paint: paint.warn };
    case 'missing':
    case 'foreign':
      return { text: state, paint: paint.bad };
  }
}
