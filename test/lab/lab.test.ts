import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Program, run, tryRun } from './command.ts';
import { eventually } from './eventually.ts';
import { type Container, type Host, type L2, Lab } from './lab.ts';
import { connectTcp, KernelWatch, listenTcp, ping, RunningPing, traceroute } from './probes.ts';
import { useLab } from './use-lab.ts';

const namespaces = async (prefix: string): Promise<readonly string[]> =>
  (await run(['ip', 'netns', 'list'])).split('\n').filter((line) => line.startsWith(`${prefix}-`));

describe('a lab of two L2s and a router', () => {
  let x: L2;
  let a: Host;
  let b: Host;
  let d: Host;
  let ca: Container;
  let cd: Container;

  useLab(async (lab) => {
    x = await lab.l2('x');
    const y = await lab.l2('y');
    await lab.router('r', [
      { l2: x, address: '10.99.1.1/24' },
      { l2: y, address: '10.99.2.1/24' },
    ]);
    a = await lab.host('a', {
      l2: x,
      address: '10.99.1.11/24',
      gateway: '10.99.1.1',
      second: { l2: y, address: '10.99.2.11/24' },
    });
    b = await lab.host('b', {
      l2: x,
      address: '10.99.1.12/24',
      gateway: '10.99.1.1',
      iface: 'enp0s3',
      mtu: 1400,
    });
    d = await lab.host('d', { l2: y, address: '10.99.2.14/24', gateway: '10.99.2.1' });
    ca = await lab.container('ca', a, { address: '10.5.1.2/24', gateway: '10.5.1.1/24' });
    cd = await lab.container('cd', d, { address: '10.5.4.2/24', gateway: '10.5.4.1/24' });
  });

  test('reaches across one L2', async () => {
    expect(await ping(a, b.address)).toMatchObject({ sent: 1, received: 1, ttl: 64 });
  });

  test('reaches across the router, and only through it', async () => {
    expect(await ping(b, d.address)).toMatchObject({ received: 1, ttl: 63 });
    expect(await traceroute(b, d.address)).toEqual(['10.99.1.1', d.address]);
    expect(await ping(d, b.address)).toMatchObject({ received: 1 });
  });

  test('gives a host a second NIC', async () => {
    expect(await a.ip('-brief address show eth1')).toContain('10.99.2.11/24');
    expect(await ping(a, d.address)).toMatchObject({ ttl: 64 });
  });

  test('honours the MTU of a NIC: a frame that is too large for the receiver is lost', async () => {
    expect(await ping(a, b.address, { size: 1372, dontFragment: true })).toMatchObject({ received: 1 });
    expect(await ping(a, b.address, { size: 1472, dontFragment: true })).toMatchObject({ received: 0 });
    expect(await ping(a, d.address, { size: 1472, dontFragment: true })).toMatchObject({ received: 1 });
  });

  test('carries containers where the hosts route them, with their own source address', async () => {
    expect(await ping(ca, cd.address)).toMatchObject({ received: 0 });
    for (const host of [a, d]) await host.sysctl('net.ipv4.ip_forward', 1);
    await a.ip('route add 10.5.4.0/24 via 10.99.2.14');
    await d.ip('route add 10.5.1.0/24 via 10.99.2.11');
    expect(await ping(ca, cd.address)).toMatchObject({ received: 1, ttl: 62 });
    const server = await listenTcp(cd, 8080);
    expect(await connectTcp(ca, cd.address, 8080)).toBe(ca.address);
    await server.stop();
    expect(await connectTcp(ca, cd.address, 8080)).toBe(null);
  });

  test('shows an interrupted path as lost packets', async () => {
    const running = new RunningPing(a, b.address);
    await running.answered(20);
    await x.ip('link set b-enp0s3 down');
    await ping(a, b.address);
    await x.ip('link set b-enp0s3 up');
    const { sent, received } = await running.stop();
    expect(received).toBeGreaterThanOrEqual(20);
    expect(received).toBeLessThan(sent);
  });

  test('tells what the kernel reported, and nothing of its own', async () => {
    const quiet = await KernelWatch.start(a);
    expect(await quiet.stop()).toEqual([]);
    const watch = await KernelWatch.start(a);
    await a.ip('route add 10.98.0.0/24 dev eth0');
    await a.ip('route delete 10.98.0.0/24 dev eth0');
    expect(await watch.stop()).toEqual([
      expect.stringMatching(/^10\.98\.0\.0\/24 dev eth0/),
      expect.stringMatching(/^Deleted 10\.98\.0\.0\/24 dev eth0/),
    ]);
  });
});

describe('teardown', () => {
  test('removes namespaces, programs and files, and leaves the neighbour lab alone', async () => {
    await using other = await Lab.create();
    await other.l2('x');
    const lab = await Lab.create();
    const host = await lab.host('a', { l2: await lab.l2('x'), address: '10.99.1.11/24' });
    const sleeper = host.start(['sleep', '1000']);
    // Not a child of ours: what an agent in the background is.
    await host.run(['sh', '-c', 'setsid --fork sleep 1001 >/dev/null 2>&1']);
    // What a container of an engine is: a descendant in a network namespace of its own.
    const container = host.start(['sh', '-c', 'unshare --net sleep 1002 & echo $!; wait']);
    const pid = Number(await container.line(/^\d+$/));
    expect(await namespaces(lab.prefix)).toHaveLength(2);
    await lab[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
    expect(await namespaces(lab.prefix)).toEqual([]);
    expect(sleeper.running).toBe(false);
    await eventually('the container to end', () => (existsSync(`/proc/${pid}`) ? undefined : true));
    expect(existsSync(lab.directory)).toBe(false);
    expect(await namespaces(other.prefix)).toHaveLength(1);
  });

  test('happens when the build of the lab fails half-way', async () => {
    let prefix = '';
    const build = async (): Promise<void> => {
      await using lab = await Lab.create();
      prefix = lab.prefix;
      await lab.host('a', { l2: await lab.l2('x'), address: 'not an address' });
    };
    await expect(build()).rejects.toThrow(/valid prefix is expected/);
    expect(await namespaces(prefix)).toEqual([]);
  });

  // A lab in a process of its own. Node 20 runs no TypeScript by itself, vite does.
  const script = `
    const { runnerImport } = await import('vite');
    const { module } = await runnerImport(${JSON.stringify(fileURLToPath(new URL('lab.ts', import.meta.url)))});
    const lab = await module.Lab.create();
    await lab.l2('x');
    console.log('made ' + lab.prefix);
    setInterval(() => {}, 1000);`;
  const otherProcess = async (): Promise<{ program: Program; prefix: string }> => {
    const program = new Program([process.execPath, '--input-type=module', '--eval', script]);
    const line = await program.line(/^made /);
    return { program, prefix: line.slice(5) };
  };

  test.each(['SIGINT', 'SIGTERM'] as const)('happens at %s', async (signal) => {
    const { program, prefix } = await otherProcess();
    expect(await namespaces(prefix)).toHaveLength(1);
    await program.stop(signal);
    expect(await namespaces(prefix)).toEqual([]);
  });

  test('of a killed lab is done by the next one', async () => {
    const { program, prefix } = await otherProcess();
    await program.stop('SIGKILL');
    expect(await namespaces(prefix)).toHaveLength(1);
    await using _next = await Lab.create();
    expect(await namespaces(prefix)).toEqual([]);
  });
});

describe('programs', () => {
  test('that outlive their time are killed, with a sentence', async () => {
    await expect(tryRun(['sleep', '10'], { timeoutMs: 50 })).rejects.toThrow(
      'sleep 10: not done after 50 ms',
    );
  });

  test('that fail say what was run and what they printed', async () => {
    await expect(run(['sh', '-c', 'echo no luck >&2; exit 3'])).rejects.toThrow(/exit 3\nno luck/);
    await expect(run(['/no/such/program'])).rejects.toThrow('ENOENT');
  });

  test('that end before their line say so', async () => {
    const program = new Program(['sh', '-c', 'echo one; exit 4']);
    expect(await program.line(/one/)).toBe('one');
    await expect(program.line(/two/)).rejects.toThrow(/ended with 4 before a line like \/two\/\n {4}one/);
  });
});
