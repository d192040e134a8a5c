/**
 * The table raw: our chain TSFLANNEL-RAW and the jump to it at the head of PREROUTING. Docker since 28 drops there what
 * is addressed to a container and does not come from its bridge, before anything else is asked; an accept in front of
 * it is final. Pure.
 */
import { type Cidr, cidrsOverlap, parseCidr } from '../net/cidr.ts';
import { RAW_CHAIN } from './chain-rules.ts';
import { type ChainTable, fill, jumpFirst, rulesOf, withdraw } from './chain-table.ts';

const PREROUTING = 'PREROUTING';

/** Lines between `*raw` and `COMMIT`; none when all is well. Null: nothing of ours. */
export function repairRaw(table: ChainTable, rules: readonly string[] | null): readonly string[] {
  if (rules === null) return withdraw(table, PREROUTING, RAW_CHAIN);
  return [...fill(table, RAW_CHAIN, rules), ...jumpFirst(table, PREROUTING, RAW_CHAIN)];
}

/** An engine drops here what is addressed to the lease or to a part of it and comes from elsewhere than its bridge. */
export function rawDrops(table: ChainTable, lease: Cidr): boolean {
  return rulesOf(table, PREROUTING).some((rule) => {
    const [, text = ''] = /^-A \S+ -d (\S+) ! -i \S+ -j DROP$/.exec(rule) ?? [];
    const dst = parseCidr(text);
    return dst !== undefined && cidrsOverlap(dst, lease);
  });
}
