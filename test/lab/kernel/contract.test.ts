import { describe } from 'vitest';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { kernelContract } from '../../support/kernel-contract.ts';
import type { L2, Lab } from '../lab.ts';
import { useLab } from '../use-lab.ts';

describe('the real kernel', () => {
  let lab: Lab;
  let l2: L2;
  let hosts = 0;

  useLab(async (made) => {
    lab = made;
    l2 = await lab.l2('x');
  });

  kernelContract(async () => {
    const host = await lab.host(`h${hosts++}`, { l2, address: '10.99.1.11/24' });
    // No address that comes by itself, a moment later.
    await host.sysctl('net.ipv6.conf.all.disable_ipv6', 1);
    const kernel = inNamespace(host.netns, () => NetlinkKernel.open());
    return {
      kernel,
      setDown: async (iface) => {
        await host.ip(`link set ${iface} down`);
      },
      deleteLink: async (iface) => {
        await host.ip(`link delete ${iface}`);
      },
      addForeignRoute: async (dst, metric) => {
        await host.ip(`route add ${dst} via 10.99.1.99 metric ${metric}`);
      },
      deleteRoute: async (dst, metric) => {
        const type = dst.endsWith('/16') ? 'unreachable ' : '';
        await host.ip(`route delete ${type}${dst} metric ${metric}`);
      },
      deleteAddress: async (iface, ip) => {
        await host.ip(`address delete ${ip}/32 dev ${iface}`);
      },
      close: async () => kernel.close(),
    };
  });
});
