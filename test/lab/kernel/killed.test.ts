import { describe } from 'vitest';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { killedAnywhere } from '../../support/killed.ts';
import type { Host } from '../lab.ts';
import { useLab } from '../use-lab.ts';

describe('an agent that is killed, on the real kernel', () => {
  let host: Host;

  useLab(async (lab) => {
    host = await lab.host('a', { l2: await lab.l2('x'), address: '10.99.1.11/24' });
  });

  killedAnywhere(async () => {
    // No address that comes by itself, a moment later.
    for (const iface of ['default', 'eth0']) await host.sysctl(`net.ipv6.conf.${iface}.addr_gen_mode`, 1);
    await host.configure([
      'address flush dev eth0 scope link',
      'address add fd00:99:1::11/64 dev eth0 nodad',
      'address add 10.99.1.77/24 dev eth0',
      'address add fd00:99:1::77/64 dev eth0 nodad',
    ]);
    const kernel = inNamespace(host.netns, () => NetlinkKernel.open());
    return {
      kernel,
      makeUnmarked: async ({ name, mac, mtu, vni, port, local }) => {
        await host.ip(
          `link add ${name} address ${mac} mtu ${mtu} type vxlan id ${vni} dstport ${port} local ${local} nolearning`,
        );
      },
      close: async () => kernel.close(),
    };
  });
});
