/**
 * The first lease of a host, asked for by `init` and `join` before the agent runs, so that a refusal (all subnets
 * taken, the wanted one taken) is the command's own and can be undone.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Identity } from '../cluster/identity.ts';
import type { Replica } from '../cluster/replica.ts';
import { networkFamilies } from '../config/network-config.ts';
import type { Refusal } from '../errors.ts';
import { TsflannelError } from '../errors.ts';
import { type Cidr, cidrFamily } from '../net/cidr.ts';
import type { ClusterState } from '../subnet/state.ts';
import { describeSelf } from './self-description.ts';
import type { Workplace } from './workplace.ts';

const POLL_MS = 5;

/** Null when the lease is acquired. Throws TsflannelError (exit 4) without a quorum. */
export async function requestLease(
  workplace: Workplace,
  identity: Identity,
  replica: Replica,
  request: { readonly id: string; readonly wanted: readonly Cidr[] },
  signal: AbortSignal,
): Promise<Refusal | null> {
  const state = await stateWithSelf(identity, replica, signal);
  const { watcher } = workplace;
  watcher.setFamilies(networkFamilies(state.config));
  watcher.requireAll();
  await workplace.checkConflicts(state.config, identity.nodeId);
  const self = describeSelf(workplace.options, identity.nodeId, watcher.selection, state);
  if (self === null) throw new TypeError('the interface went away');
  const [wantedIpv6] = request.wanted.filter((subnet) => cidrFamily(subnet) === 6);
  const { result } = await replica.propose(
    {
      kind: 'acquire',
      requestId: request.id,
      nodeId: identity.nodeId,
      attributes: self.attributes,
      wanted: request.wanted.find((subnet) => cidrFamily(subnet) === 4) ?? null,
      ...(wantedIpv6 && { wantedIpv6 }),
      previous: workplace.previous.of(state.config),
    },
    signal,
  );
  return result.kind === 'refused' ? result.refusal : null;
}

/** The log has reached the entry that made this host a member. */
async function stateWithSelf(
  identity: Identity,
  replica: Replica,
  signal: AbortSignal,
): Promise<ClusterState> {
  for (;;) {
    const { state } = replica;
    if (state?.members.has(identity.nodeId)) return state;
    if (signal.aborted) throw new TsflannelError(replica.noQuorum());
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined); // the loop sees the abort
  }
}
