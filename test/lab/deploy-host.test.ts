/** The files of deploy/host that programs of this machine can read, read by them. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Namespace } from './namespace.ts';
import { useLab } from './use-lab.ts';

const deployed = fileURLToPath(new URL('../../deploy/host', import.meta.url));

let host: Namespace;
useLab(async (lab) => {
  host = await lab.namespace('a');
});

test('ip knows our routes by name', async () => {
  const script = [
    `mount --bind ${deployed}/etc/iproute2 /etc/iproute2`,
    'ip route add 10.5.2.0/24 dev lo proto tsflannel',
    'ip route show',
  ].join(' && ');
  const routes = await host.run(['unshare', '--mount', 'sh', '-c', script]);
  expect(routes.trim()).toBe('10.5.2.0/24 dev lo proto tsflannel scope link');
});

test('sysctls for flannel’s devices are set whatever the device is called, and no others are', async () => {
  await host.configure([
    'link add flannel.1 type vxlan id 1 dstport 8472',
    'link add eth0 type veth peer name eth1',
  ]);
  await host.sysctl('net.ipv4.conf.all.rp_filter', 0);
  await host.sysctl('net.ipv4.conf.eth0.rp_filter', 1);
  await host.sysctl('net.ipv4.conf.flannel/1.rp_filter', 1);
  await host.run(['sysctl', '-q', '-p', `${deployed}/usr/lib/sysctl.d/50-tsflannel.conf`]);
  expect(await host.sysctl('net.ipv4.conf.flannel/1.rp_filter')).toBe('2');
  expect(await host.sysctl('net.ipv4.conf.eth0.rp_filter')).toBe('1');
  expect(await host.sysctl('net.ipv4.ip_forward')).toBe('0');
});
