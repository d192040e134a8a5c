import { describe } from 'vitest';
import { addressOf, FAMILIES } from '../../support/dual-stack.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { killedAnywhere } from '../../support/killed.ts';

describe('an agent that is killed, on the kernel in memory', () => {
  killedAnywhere(async () => {
    const kernel = new FakeKernel();
    for (const family of FAMILIES) kernel.addAddress('eth0', addressOf(family, 77), family === 4 ? 24 : 64);
    return {
      kernel,
      makeUnmarked: async (device) => {
        kernel.addVxlan(device, null);
        kernel.setUp(device.name, false);
      },
      close: async () => undefined,
    };
  });
});
