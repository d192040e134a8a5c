/** Networks of IPv6 alone and of both families, on hosts of both and of IPv6 alone. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { type Cluster, startCluster, voters } from '../lab/cluster.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { useLab } from '../lab/use-lab.ts';

async function configFile(host: Host, config: object): Promise<string> {
  const path = join(host.directory, 'network.json');
  await writeFile(path, JSON.stringify(config));
  return path;
}

describe('hosts of IPv6 alone', () => {
  let cluster: Cluster;

  useLab(async (lab: Lab) => {
    const l2 = await lab.l2('near');
    const hosts = await Promise.all(
      [1, 2, 3].map((n) => lab.host('abc'[n - 1] ?? '', { l2, address: `2001:db8:1::${n}/64` })),
    );
    const [first] = hosts;
    if (first === undefined) throw new Error('no host');
    const network = {
      EnableIPv4: false,
      EnableIPv6: true,
      IPv6Network: 'fd05::/48',
      Backend: { Type: 'alloc' },
    };
    const peers = hosts.map(({ address }) => `[${address}]`).join(',');
    cluster = await startCluster(hosts, ['--config', await configFile(first, network), '--peers', peers]);
  });

  test('are a cluster of voters over IPv6', async () => {
    await voters(cluster.agents, 3);
    expect(cluster.joinCommand).toContain('2001:db8:1::1');
  });
});
