/** `version`: of this program. What the running agent is of, `status` says. */
import { EXIT } from '../../errors.ts';
import { programVersion } from '../../observe/version.ts';
import type { CommandFunction } from '../context.ts';

export const version: CommandFunction = async (context) => {
  const text = programVersion();
  context.output.report({ document: { version: text }, text });
  return EXIT.ok;
};
