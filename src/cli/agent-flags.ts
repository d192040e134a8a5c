/**
 * The options that `init`, `join` and `agent` share, as the help shows them. What they mean and which values are good
 * is src/config's; they are handed on as text, because only what was given is stored.
 */
import { hostname } from 'node:os';
import type { AgentOptionName, RawAgentOptions } from '../config/agent-options.ts';
import { TsflannelError } from '../errors.ts';
import type { Given } from './given.ts';
import type { OptionHelp } from './options.ts';

interface AgentFlag extends OptionHelp {
  readonly name: AgentOptionName;
}

export const AGENT_FLAGS: readonly AgentFlag[] = [
  { name: 'name', hint: 'NAME', help: 'name of this host in the cluster (default: host name)' },
  {
    name: 'iface',
    hint: 'IFACE',
    help: 'interface (name or IP) that reaches the other hosts; repeatable',
    repeatable: true,
  },
  {
    name: 'iface-regex',
    hint: 'REGEX',
    help: 'first interface whose IP or name matches; repeatable',
    repeatable: true,
  },
  { name: 'iface-can-reach', hint: 'IP', help: 'interface of the route to this address' },
  { name: 'public-ip', hint: 'IP', help: 'address that the other hosts reach this one by' },
  { name: 'public-ipv6', hint: 'IP', help: 'the same for IPv6' },
  { name: 'port', hint: 'PORT', help: 'UDP and TCP port of the agent (default 6473)' },
  { name: 'subnet-file', hint: 'FILE', help: 'written for Docker (default /run/flannel/subnet.env)' },
  { name: 'ip-masq', hint: null, help: 'masquerade traffic that leaves the container network' },
  { name: 'ip-masq-fully-random-disable', hint: null, help: 'masquerade without fully random ports' },
  { name: 'iptables-forward-rules', hint: null, help: 'accept forwarding for containers (default true)' },
  { name: 'iptables-resync', hint: 'SECONDS', help: 'between two looks at the firewall rules (default 5)' },
  { name: 'ip-blackhole-route', hint: null, help: 'drop packets to addresses of the lease that nobody has' },
  { name: 'healthz-ip', hint: 'IP', help: 'address of /healthz and /readyz (default 127.0.0.1)' },
  { name: 'healthz-port', hint: 'PORT', help: 'their port (default 0: off)' },
  {
    name: 'subnet-lease-renew-margin',
    hint: 'MINUTES',
    help: 'before expiry, when the lease is renewed (default 60)',
  },
];

/** Only what was given; stored values and defaults are the daemon's. Throws TsflannelError (exit 2) for a bad value. */
export async function givenAgentOptions(given: Given): Promise<RawAgentOptions> {
  const flags: { -readonly [K in AgentOptionName]?: readonly string[] } = {};
  for (const { name } of AGENT_FLAGS) {
    const texts = given.texts(name);
    if (texts !== undefined) flags[name] = texts;
  }
  const { resolveAgentOptions } = await import('../config/agent-options.ts');
  const result = resolveAgentOptions({ flags, stored: {}, hostName: hostname() });
  if (!result.ok) throw new TsflannelError(result.refusal);
  return flags;
}
