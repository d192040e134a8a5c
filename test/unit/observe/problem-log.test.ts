import { expect, test } from 'vitest';
import type { Problem } from '../../../src/observe/agent-facts.ts';
import type { Log } from '../../../src/observe/log.ts';
import { ProblemLog } from '../../../src/observe/problem-log.ts';

const refused = (more: string): Problem => ({
  code: 'kernel-refuses',
  severity: 'error',
  text: `The kernel refuses the route to 10.5.2.0/24: Nexthop has invalid gateway (ENETUNREACH)${more}.`,
  fix: 'Look at the interface.',
});

test('a problem is logged when it comes, not while it lasts, and again when it comes back', () => {
  const lines: string[] = [];
  const write =
    (level: string) =>
    (event: string, text: string): void => {
      lines.push(`${level} ${event} ${text}`);
    };
  const log: Log = { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') };
  const problems = new ProblemLog(log);
  problems.update([refused('')]);
  problems.update([refused(' (and 3 more like it)')]);
  expect(lines).toEqual([
    'error kernel-refuses The kernel refuses the route to 10.5.2.0/24: Nexthop has invalid gateway (ENETUNREACH).',
  ]);
  problems.update([]);
  problems.update([
    refused(' (and 1 more like it)'),
    { ...refused(''), code: 'contested', severity: 'warning' },
  ]);
  expect(lines.slice(1).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
    'error kernel-refuses',
    'warn contested',
  ]);
});
