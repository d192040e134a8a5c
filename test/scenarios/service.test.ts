/** What a service manager and a monitor see: options that are stored, few capabilities, health, a true readiness. */
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { containers, fourHosts, type Hosts, routed } from '../lab/cluster.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** What tsflannel.service leaves to root. */
const CAPABILITIES = ['--bounding-set', '-all,+net_admin,+net_raw', '--inh-caps', '-all', '--no-new-privs'];

describe('an agent as a service', () => {
  let hosts: Hosts;
  let a: Agent;
  let b: Agent;
  let lab: Lab;
  let token: string;

  useLab(async (made: Lab) => {
    lab = made;
    hosts = await fourHosts(lab);
    a = new Agent(hosts.a);
    b = new Agent(hosts.b);
    ({ token } = await a.init(['--port', '7001', '--healthz-port', '8099']));
    await b.join(token, [`${hosts.a.address}:7001`], ['--port', '7001', '--ip-masq']);
    await routed([a, b]);
  });

  /** Status and body of a page on the host's loopback. */
  const get = async (host: Host, port: number, path: string): Promise<string> =>
    host.run([
      ...[process.execPath, '-e'],
      `fetch('http://127.0.0.1:${port}${path}').then(async (r) => console.log(r.status, (await r.text()).trim()))`,
    ]);

  test('healthz and readyz answer on loopback', async () => {
    expect(await get(hosts.a, 8099, '/healthz')).toMatch(/^200 /);
    expect(await get(hosts.a, 8099, '/readyz')).toMatch(/^200 /);
    const { code } = await b.host.tryRun([
      'bash',
      '--norc',
      '-c',
      `exec 3<>/dev/tcp/${hosts.a.address}/8099`,
    ]);
    expect(code).not.toBe(0);
  });

  test('options are stored: agent needs none of them', async () => {
    await b.stop();
    await b.agent();
    expect(b.subnetEnv()).toMatchObject({ FLANNEL_IPMASQ: 'true' });
    expect(await hosts.b.run(['ss', '-lntu'])).toMatch(/:7001\b/);
    await routed([a, b]);
  });

  test('an option that is given again is changed', async () => {
    await a.stop();
    await a.agent(['--healthz-port', '8100']);
    expect(await get(hosts.a, 8100, '/readyz')).toMatch(/^200 /);
    await a.stop();
    await a.agent();
    expect(await get(hosts.a, 8100, '/readyz')).toMatch(/^200 /);
  });

  test('CAP_NET_ADMIN and CAP_NET_RAW are enough for everything', async () => {
    const c = new Agent(hosts.c);
    const joiner = hosts.c.start(
      ['setpriv', ...CAPABILITIES, ...c.commandLine(['join', token, `${hosts.a.address}:7001`, '--json'])],
      { env: c.env },
    );
    await c.ready(joiner);
    await routed([a, b, c]);
    const box = await containers(lab, [a, b, c]);
    expect(await ping(box('c'), box('a').address)).toMatchObject({ received: 1, ttl: 62 });
    expect(joiner.running).toBe(true);
    expect((await c.cli(['status'])).code).toBe(0);
  });
});
