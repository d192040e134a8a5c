/** A process that writes until it is killed: says after each write how many it has made. */
import { LevelStorage } from '../../raft/storage/level.ts';
import { batch, command } from '../unit/raft/storage/contract.ts';
import { identity } from './databases.ts';

await using storage = await LevelStorage.open(process.argv[2] ?? '', identity);
const { entries, hardState } = await storage.load();
let term = hardState.term + 1;
for (let index = entries.length + 1; ; index++) {
  // A vote now and then, which syncs the fence.
  if (index % 10 === 0) term++;
  await storage.write(batch({ term, vote: 1, entries: [command(index, term)] }));
  process.stdout.write(`${index} ${term}\n`);
}
