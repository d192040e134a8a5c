/** Reads systemd unit files as far as the tests need them: sections, continuation lines, and the shell of an Exec line. */

export interface Setting {
  readonly section: string;
  readonly key: string;
  readonly value: string;
}

export function parseUnit(text: string): readonly Setting[] {
  let section = '';
  const settings: Setting[] = [];
  for (const line of text.replace(/\\\n\s*/g, ' ').split('\n')) {
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (name !== undefined) section = name;
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) settings.push({ section, key, value });
  }
  return settings;
}

/** The arguments of an Exec line as systemd passes them on: quotes taken off, `$$` one `$`. */
export function execArguments(line: string): readonly string[] {
  const words = line.match(/'[^']*'|\S+/g) ?? [];
  return words.map((word) => word.replace(/^'|'$/g, '').replaceAll('$$', '$'));
}
