import { expect, it } from 'vitest';
import {
  type DockerOptions,
  dockerOptions,
  formatArgs,
  formatEnv,
  formatJson,
} from '../../../src/subnet/docker-opts.ts';
import { parseEnvFile } from '../../../src/subnet/subnet-file.ts';

function options(text: string): DockerOptions {
  const result = dockerOptions(parseEnvFile(text));
  if (!result.ok) throw new Error(result.refusal.text);
  return result.options;
}

const FILE =
  'FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET=10.2.21.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';

it('prints arguments on one line', () => {
  expect(formatArgs(options(FILE))).toBe('--bip=10.2.21.1/24 --mtu=1450 --ip-masq=true');
});

it('prints what mk-docker-opts.sh writes', () => {
  expect(formatEnv(options(FILE))).toBe(
    'DOCKER_OPT_BIP="--bip=10.2.21.1/24"\n' +
      'DOCKER_OPT_IPMASQ="--ip-masq=true"\n' +
      'DOCKER_OPT_MTU="--mtu=1450"\n' +
      'DOCKER_OPTS=" --bip=10.2.21.1/24 --ip-masq=true --mtu=1450"\n',
  );
});

it('prints a fragment of daemon.json', () => {
  expect(JSON.parse(formatJson(options(FILE)))).toEqual({ bip: '10.2.21.1/24', mtu: 1450, 'ip-masq': true });
});

it('has the IPv6 side of a lease, but in the words of the script, which knows none', () => {
  const both = options(`${FILE}FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:7::1/64\n`);
  expect(formatArgs(both)).toBe(`${formatArgs(options(FILE))} --ipv6 --fixed-cidr-v6=fd00:0:0:7::1/64`);
  expect(JSON.parse(formatJson(both))).toMatchObject({ ipv6: true, 'fixed-cidr-v6': 'fd00:0:0:7::1/64' });
  expect(formatEnv(both)).toBe(formatEnv(options(FILE)));
});

it('inverts the masquerade: one of the two does it', () => {
  expect(options('FLANNEL_IPMASQ=true').ipMasq).toBe(false);
});

it('leaves out what is not there', () => {
  expect(formatArgs(options('FLANNEL_MTU=1450\nFLANNEL_SUBNET=\n'))).toBe('--mtu=1450');
  expect(formatEnv(options(''))).toBe('DOCKER_OPTS=""\n');
});

it('refuses another FLANNEL_IPMASQ in the words of the script', () => {
  const result = dockerOptions(parseEnvFile('FLANNEL_IPMASQ=x'));
  expect(result).toMatchObject({
    ok: false,
    refusal: { text: 'Invalid value of FLANNEL_IPMASQ: x', exitCode: 1 },
  });
});
