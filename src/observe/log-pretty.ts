/**
 * Log lines for people: `21:04:05.123 info  lease 10.5.42.0/24 acquired  subnet=10.5.42.0/24`. Reads the JSON lines that
 * the logger writes and passes on what it cannot read as it is. No state, no I/O but the sink.
 */
export interface LineSink {
  write(line: string): unknown;
}

const GREY = 90;
const COLOURS: Readonly<Record<string, number>> = { error: 31, warn: 33, info: 32, debug: GREY };
const HEAD: ReadonlySet<string> = new Set(['time', 'level', 'text', 'event']);

export function prettyStream(sink: LineSink, colours: boolean): LineSink {
  return { write: (line) => sink.write(prettyLine(line, colours)) };
}

export function prettyLine(line: string, colours: boolean): string {
  const entry = parse(line);
  if (entry === undefined) return line;
  const pairs: string[] = [];
  for (const [name, value] of entry) if (!HEAD.has(name)) pairs.push(`${name}=${shown(value)}`);
  const level = String(entry.get('level'));
  const head = [
    String(entry.get('time')).slice(11, 23),
    paint(level.padEnd(5), COLOURS[level], colours),
    String(entry.get('text')),
  ].join(' ');
  return `${head}${pairs.length === 0 ? '' : `  ${paint(pairs.join(' '), GREY, colours)}`}\n`;
}

function parse(line: string): Map<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : undefined;
  } catch {
    return undefined;
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value);
}

function paint(text: string, colour: number | undefined, colours: boolean): string {
  return colours && colour !== undefined ? `\u001b[${colour}m${text}\u001b[0m` : text;
}
