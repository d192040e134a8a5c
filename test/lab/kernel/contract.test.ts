import { describe } from 'vitest';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { kernelContract } from '../../support/kernel-contract.ts';
import type { L2, Lab } from '../lab.ts';
import { useLab } from '../use-lab.ts';

describe.each([4, 6] as const)('the real kernel, IPv%i', (family) => {
  let lab: Lab;
  let l2: L2;
  let hosts = 0;

  useLab(async (made) => {
    lab = made;
    l2 = await lab.l2('x');
  });

  kernelContract(family, async () => {
    const host = await lab.host(`h${hosts++}`, { l2, address: '10.99.1.11/24' });
    // No address that comes by itself, a moment later.
    for (const iface of ['default', 'eth0']) await host.sysctl(`net.ipv6.conf.${iface}.addr_gen_mode`, 1);
    await host.configure([
      'address flush dev eth0 scope link',
      'address add fd00:99:1::11/64 dev eth0 nodad',
    ]);
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
        const via = family === 4 ? '10.99.1.99' : 'fd00:99:1::99';
        await host.ip(`-${family} route add ${dst} via ${via} metric ${metric}`);
      },
      deleteRoute: async (dst, metric) => {
        const type = /\/(16|32)$/.test(dst) ? 'unreachable ' : '';
        await host.ip(`-${family} route delete ${type}${dst} metric ${metric}`);
      },
      deleteAddress: async (iface, address) => {
        await host.ip(`address delete ${address} dev ${iface}`);
      },
      close: async () => kernel.close(),
    };
  });
});
