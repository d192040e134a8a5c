/** Columns of text, two spaces apart, as wide as their widest cell; and the small words that cells are made of. Pure. */

export interface Cell {
  readonly text: string;
  /** Put on after padding, so that colour codes do not count as width. */
  readonly paint?: (text: string) => string;
}

export function table(header: readonly string[], rows: readonly (readonly (Cell | string)[])[]): string {
  const cells = [header, ...rows].map((row) =>
    row.map((cell) => (typeof cell === 'string' ? { text: cell } : cell)),
  );
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.text.length ?? 0)));
  return cells.map((row) => line(row, widths)).join('\n');
}

/** Names on the left, values on the right. */
export function pairs(rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n');
}

export function orDash(value: string | number | null): string {
  return value === null ? '-' : String(value);
}

/** What there is of either family, IPv4 first. */
export function both(ipv4: string | null, ipv6: string | null | undefined): string {
  return [ipv4, ipv6].filter((one) => typeof one === 'string').join(', ') || '-';
}

/** `340 ms`, `12 s`, `5 min`, `3 h`, `2 days`: as exact as a glance needs. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const steps = [
    { unit: 'days', ms: 86_400_000 },
    { unit: 'h', ms: 3_600_000 },
    { unit: 'min', ms: 60_000 },
  ];
  const step = steps.find((candidate) => ms >= 2 * candidate.ms) ?? { unit: 's', ms: 1_000 };
  return `${Math.floor(ms / step.ms)} ${step.unit}`;
}

export function count(n: number, singular: string, plural = `${singular}s`): string {
  return `${n} ${n === 1 ? singular : plural}`;
}

/** The first digits of an id: enough to tell hosts apart, and a unique prefix is accepted everywhere. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

function line(row: readonly Cell[], widths: readonly number[]): string {
  return row
    .map(({ text, paint }, column) => {
      const padded = column === row.length - 1 ? text : text.padEnd(widths[column] ?? 0);
      return paint === undefined ? padded : paint(padded);
    })
    .join('  ')
    .trimEnd();
}
