import { describe } from 'vitest';
import type { ActualRoute } from '../../../src/dataplane/kernel.ts';
import { cidrBase, toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { kernelContract } from '../../support/kernel-contract.ts';

describe.each([4, 6] as const)('the kernel in memory, IPv%i', (family) => {
  kernelContract(family, async () => {
    const kernel = new FakeKernel();
    return {
      kernel,
      setDown: async (iface) => {
        kernel.setUp(iface, false);
        kernel.emit({ kind: 'link', vxlan: false, iface });
      },
      deleteLink: async (iface) => {
        kernel.removeLink(iface);
      },
      addForeignRoute: async (dst, metric) => {
        const route: ActualRoute = {
          ...{ table: 254, dst: toCidr(dst), type: 'unicast', iface: 'eth0', onlink: false },
          via: toIp(family === 4 ? '10.99.1.99' : 'fd00:99:1::99'),
          ...{ src: null, mtu: null, metric, protocol: 3, plain: true },
        };
        kernel.routes = [...kernel.routes, route];
        kernel.emit({ kind: 'route', table: 254, protocol: 3, dst: toCidr(dst) });
      },
      deleteRoute: async (dst, metric) => {
        kernel.routes = kernel.routes.filter((route) => route.dst !== dst || route.metric !== metric);
      },
      deleteAddress: async (iface, address) => {
        kernel.removeAddress(iface, cidrBase(address));
      },
      close: async () => undefined,
    };
  });
});
