import { describe } from 'vitest';
import type { ActualRoute } from '../../../src/dataplane/kernel.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { kernelContract } from '../../support/kernel-contract.ts';

describe('the kernel in memory', () => {
  kernelContract(async () => {
    const kernel = new FakeKernel();
    return {
      kernel,
      setDown: async (iface) => kernel.setUp(iface, false),
      deleteLink: async (iface) => {
        kernel.removeLink(iface);
      },
      addForeignRoute: async (dst, metric) => {
        const route: ActualRoute = {
          ...{ dst: toCidr(dst), type: 'unicast', via: toIp('10.99.1.99'), iface: 'eth0', onlink: false },
          ...{ src: null, mtu: null, metric, protocol: 3, plain: true },
        };
        kernel.routes = [...kernel.routes, route];
      },
      deleteRoute: async (dst, metric) => {
        kernel.routes = kernel.routes.filter((route) => route.dst !== dst || route.metric !== metric);
      },
      deleteAddress: async (iface, ip) => {
        kernel.removeAddress(iface, toIp(ip));
      },
      close: async () => undefined,
    };
  });
});
