/**
 * The configuration formats of other programs, as far as the checks need them: systemd's and NetworkManager's sections,
 * firewalld's XML, ufw's iptables lines. Pure. What is not understood is left out, on the side of not warning.
 */

/** The last value of each `section.key`; systemd takes it so. An empty value takes back what was set before. */
export function parseSections(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let section = '';
  for (const line of text.split('\n')) {
    section = /^\s*\[(.+)\]\s*$/.exec(line)?.[1] ?? section;
    const [, key, value] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key === undefined || value === undefined) continue;
    if (value === '') found.delete(`${section}.${key}`);
    else found.set(`${section}.${key}`, value);
  }
  return found;
}

/** As systemd and GLib write it. */
export function isNo(value: string): boolean {
  return /^(no|n|false|f|off|0)$/i.test(value);
}

export interface OpenPorts {
  readonly protocol: 'tcp' | 'udp' | 'any';
  readonly from: number;
  readonly to: number;
}

export const EVERYTHING: OpenPorts = { protocol: 'any', from: 0, to: 65_535 };

export interface FirewalldZone {
  readonly acceptsAll: boolean;
  readonly interfaces: readonly string[];
  readonly hasSources: boolean;
  readonly services: readonly string[];
  readonly ports: readonly OpenPorts[];
}

export function parseFirewalldZone(xml: string): FirewalldZone {
  return {
    acceptsAll: tags(xml, 'zone').some((tag) => attribute(tag, 'target') === 'ACCEPT'),
    interfaces: tags(xml, 'interface').flatMap((tag) => attribute(tag, 'name') ?? []),
    hasSources: tags(xml, 'source').length > 0,
    services: tags(xml, 'service').flatMap((tag) => attribute(tag, 'name') ?? []),
    ports: parseFirewalldPorts(xml),
  };
}

/** Of a zone or of a service. */
export function parseFirewalldPorts(xml: string): readonly OpenPorts[] {
  return tags(xml, 'port').flatMap((tag) => {
    const protocol = attribute(tag, 'protocol');
    if (protocol !== 'tcp' && protocol !== 'udp') return [];
    return portRange(protocol, attribute(tag, 'port') ?? '');
  });
}

function tags(xml: string, name: string): readonly string[] {
  return xml.replace(/<!--[\s\S]*?-->/g, '').match(new RegExp(`<${name}[\\s/>][^>]*`, 'g')) ?? [];
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\s${name}\\s*=\\s*["']([^"']*)["']`).exec(tag)?.[1];
}

/** What the accepting rules of ufw's input chains let in; the rest of a line tells whether it is about ports at all. */
export function parseUfwRules(text: string): readonly OpenPorts[] {
  return text
    .split('\n')
    .filter((line) => /^-A ufw6?-(user|before|after)-input .*-j \S*accept/i.test(line))
    .flatMap((line) => {
      const protocol = / -p (tcp|udp) /.exec(line)?.[1] === 'tcp' ? 'tcp' : 'udp';
      const [, ports] = / --dports? (\S+)/.exec(line) ?? [];
      if (ports !== undefined) return ports.split(',').flatMap((range) => portRange(protocol, range));
      // `allow from NETWORK` and `allow in on INTERFACE`: everything from there.
      return /^-A ufw6?-user-input (-[si] \S+ )+-j ACCEPT/.test(line) ? [EVERYTHING] : [];
    });
}

/** `80`, `6000-7000` and `6000:7000`. */
function portRange(protocol: OpenPorts['protocol'], text: string): readonly OpenPorts[] {
  const [, from, to] = /^(\d{1,5})(?:[-:](\d{1,5}))?$/.exec(text) ?? [];
  if (from === undefined) return [];
  return [{ protocol, from: Number(from), to: Number(to ?? from) }];
}
