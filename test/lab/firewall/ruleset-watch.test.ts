import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RulesetWatch } from '../../../src/firewall/ruleset-watch.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { eventually } from '../eventually.ts';
import type { Host } from '../lab.ts';
import { useLab } from '../use-lab.ts';
import { firewallOn, labConfig } from './lab-firewall.ts';

const CONFIG = labConfig('10.5.1.0/24', ['10.99.1.11', '10.99.1.12']);
/** What an agent does with the news: the next look, soon after. */
const QUIET_MS = 2_200;

describe.each(['nft', 'legacy'] as const)('with iptables-%s', (variant) => {
  let host: Host;
  let watch: RulesetWatch;
  let agent: ReturnType<typeof firewallOn>;
  /** The looks that the agent takes because it was told to. */
  let looks: Promise<boolean>[];

  useLab(async (lab) => {
    const l2 = await lab.l2('x');
    host = await lab.host('a', { l2, address: '10.99.1.11/24' });
  });
  beforeEach(async () => {
    watch = inNamespace(host.netns, () => RulesetWatch.open());
    agent = firewallOn(host, variant, watch);
    looks = [];
    agent.firewall.onChange(() => looks.push(agent.firewall.apply(CONFIG)));
    await agent.firewall.apply(CONFIG);
  });
  afterEach(async () => {
    await Promise.all(looks);
    watch.close();
  });

  test('no tool is started while nobody changes anything, whatever passes through', async () => {
    await host.run(['ping', '-c', '1', '127.0.0.1']);
    agent.commands.length = 0;
    await delay(QUIET_MS);
    expect(await agent.firewall.apply(CONFIG)).toBe(false);
    expect(agent.commands).toEqual([]);
    expect(looks).toEqual([]);
  });

  const iptables = `iptables-${variant}`;
  /** Our rules, and what stands first where ours has to. */
  async function ours(): Promise<string> {
    const list = async (argv: readonly string[]): Promise<string> => (await host.tryRun(argv)).stdout;
    const head = async (chain: string): Promise<string> =>
      (await list([iptables, '-S', chain])).split('\n').slice(0, 2).join('\n');
    return [
      await list(['nft', 'list', 'table', 'ip', 'tsflannel']),
      await list([iptables, '-S', 'TSFLANNEL-FORWARD']),
      await head('DOCKER-USER'),
      await head('FORWARD'),
    ].join('\n');
  }

  test.each([
    ['iptables -F', [iptables, '-F']],
    ['one rule of ours deleted', [iptables, '-D', 'TSFLANNEL-FORWARD', '1']],
    ['a rule in front of ours', [iptables, '-I', 'DOCKER-USER', '1', '-j', 'RETURN']],
    ['the policy', [iptables, '-P', 'FORWARD', 'ACCEPT']],
    ['nft flush ruleset', ['nft', 'flush', 'ruleset']],
    ['our table deleted', ['nft', 'delete', 'table', 'ip', 'tsflannel']],
    ['our set emptied', ['nft', 'flush', 'set', 'ip', 'tsflannel', 'members']],
    [
      'a reload as of firewalld',
      ['sh', '-c', `${iptables} -F; ${iptables} -X; ${iptables} -t raw -F; ${iptables} -P FORWARD ACCEPT`],
    ],
  ])('%s is repaired when the kernel tells', async (_, damage) => {
    const right = await ours();
    await host.run(damage);
    await eventually('the rules are back', async () => ((await ours()) === right ? true : undefined));
    expect(looks.length).toBeGreaterThan(0);
  });

  test('rules of others cost one look, and that changes nothing', async () => {
    await host.run([iptables, '-A', 'INPUT', '-s', '192.0.2.1', '-j', 'DROP']);
    const look = await eventually('a look', () => looks[0]);
    expect(await look).toBe(false);
    agent.commands.length = 0;
    await agent.firewall.apply(CONFIG);
    expect(agent.commands).toEqual([]);
  });
});
