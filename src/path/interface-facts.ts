/** Gathers from the kernel what the choice of an interface needs: links, addresses, and the few lookups it asks for. */
import type { ActualRoute, Kernel } from '../dataplane/kernel.ts';
import type { InterfaceFacts, InterfaceWish } from './interface-selection.ts';

/** Rejects with a KernelError. */
export async function readInterfaceFacts(
  kernel: Pick<Kernel, 'read' | 'lookup' | 'defaultRoutes'>,
  wish: Pick<InterfaceWish, 'canReach' | 'joins'>,
): Promise<InterfaceFacts> {
  const state = await kernel.read();
  const routes = await kernel.defaultRoutes();
  return {
    links: state.links,
    addresses: state.addresses,
    wayToReach: wish.canReach === null ? null : await kernel.lookup(wish.canReach),
    wayToJoined: wish.joins === null ? null : await kernel.lookup(wish.joins),
    defaultIfaces: { 4: defaultIface(routes, '0.0.0.0/0'), 6: defaultIface(routes, '::/0') },
  };
}

function defaultIface(routes: readonly ActualRoute[], anywhere: string): string | null {
  const [best] = routes
    .filter(({ dst, type, iface }) => dst === anywhere && type === 'unicast' && iface !== null)
    .sort((a, b) => a.metric - b.metric);
  return best?.iface ?? null;
}
